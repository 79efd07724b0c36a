// The stream of events. Not EventSource: that does not say why it ended. Where a token guards the
// sidecar the browser has asked for it with the page, and sends it along by itself.

/** Reads events for ever; `on` has a function for each event's name and `link(state)` for the connection. */
export async function listen(on) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      await read(on, () => { wait = 500; });
      on.link("ended");
    } catch {
      on.link("lost");
    }
    await new Promise((resume) => setTimeout(resume, wait));
  }
}

async function read(on, opened) {
  const response = await fetch("events", { cache: "no-store" });
  if (!response.ok) {
    throw new Error(`events answered ${response.status}`);
  }
  opened();
  on.link("live");
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(rest.slice(0, end)) ?? [];
      on[name]?.(JSON.parse(data));
    }
  }
}
