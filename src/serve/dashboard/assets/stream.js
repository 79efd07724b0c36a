// The stream of events. A browser that was asked for the token sends it along by itself.

const LONGEST_WAIT = 8000;

/** Listens for ever; `on` has a function for each event's name and `link(state)` for the connection. */
export function listen({ link, ...on }, wait = 500) {
  const source = new EventSource("events");
  source.addEventListener("open", () => {
    wait = 500;
    link("live");
  });
  source.addEventListener("error", () => {
    link("lost");
    // After a broken connection the browser tries again; after a refusal it would not.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => listen({ link, ...on }, Math.min(wait * 2, LONGEST_WAIT)), wait);
    }
  });
  for (const [name, show] of Object.entries(on)) source.addEventListener(name, (event) => show(JSON.parse(event.data)));
}
