// The server-sent event stream. The browser sends the token after the user has entered it once.

import { ROOT } from "./location.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 8000;

/** Subscribes to the stream and reconnects without end. The argument has a handler for each event name, and `onConnection(state)`. */
export function subscribe({ onConnection, ...handlers }, retryMs = FIRST_RETRY_MS) {
  const source = new EventSource(new URL("events", ROOT));
  source.addEventListener("open", () => {
    retryMs = FIRST_RETRY_MS;
    onConnection("live");
  });
  source.addEventListener("error", () => {
    onConnection("lost");
    // The browser reconnects after a broken connection, but not after an error response.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => subscribe({ onConnection, ...handlers }, Math.min(retryMs * 2, MAX_RETRY_MS)), retryMs);
    }
  });
  for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
}
