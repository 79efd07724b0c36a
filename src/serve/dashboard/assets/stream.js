// The stream of events. Not EventSource: that cannot send the token that a guarded sidecar asks for.

const KEY = "riskgate-token";

/** Reads events for ever; `on` has a function for each event's name and `link(state)` for the connection. */
export async function listen(on) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      await read(on, () => { wait = 500; });
      on.link("ended");
    } catch (error) {
      if (error.status === 401) {
        askForToken();
      }
      on.link("lost");
    }
    await new Promise((resume) => setTimeout(resume, wait));
  }
}

async function read(on, opened) {
  const token = sessionStorage.getItem(KEY);
  const response = await fetch("events", { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store" });
  if (!response.ok) {
    throw Object.assign(new Error(`events answered ${response.status}`), { status: response.status });
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

function askForToken() {
  const token = window.prompt("This riskgate asks for its token (RISKGATE_TOKEN). It is kept until this tab is closed.");
  if (token) sessionStorage.setItem(KEY, token);
}
