// A login that asks riskgate before it checks the password. Node 18 or later, no packages.
//
//   RISKGATE=http://127.0.0.1:8710 PORT=3000 node examples/backend.mjs
//   curl http://127.0.0.1:3000/sign-in -d '{"username":"ada","password":"correct horse"}'
import { createServer } from "node:http";

const { RISKGATE = "http://127.0.0.1:8710", RISKGATE_TOKEN, PORT = "3000" } = process.env;
const headers = { "content-type": "application/json", ...(RISKGATE_TOKEN && { authorization: `Bearer ${RISKGATE_TOKEN}` }) };

/** Asks riskgate. Returns null if it cannot be reached: then the password decides alone. */
async function assess(request, { username, deviceId, timezone }) {
  const body = { user: username, client: "web", deviceId, timezone, userAgent: request.headers["user-agent"], acceptLanguage: request.headers["accept-language"] };
  const hops = [request.headers["x-forwarded-for"], request.socket.remoteAddress].filter(Boolean).join(", ");
  try {
    // riskgate answers within RISKGATE_BUDGET, 2.5 s.
    const answer = await fetch(`${RISKGATE}/v1/assess`, { method: "POST", headers: { ...headers, "x-forwarded-for": hops }, body: JSON.stringify(body), signal: AbortSignal.timeout(3000) });
    if (answer.ok) return await answer.json();
    console.error("riskgate answered", answer.status, await answer.text());
  } catch (error) {
    console.error("riskgate cannot be reached:", error.message);
  }
  return null;
}

/** Reports how the sign-in ended. riskgate learns the user's habits from successes. */
function report(assessment, outcome) {
  const body = JSON.stringify({ id: assessment.id, outcome });
  fetch(`${RISKGATE}/v1/outcome`, { method: "POST", headers, body, signal: AbortSignal.timeout(3000) }).catch((error) => console.error("outcome not reported:", error.message));
}

// Your own check belongs here.
const isPasswordRight = (username, password) => username === "ada" && password === "correct horse";

async function signIn(request, form) {
  const assessment = await assess(request, form);
  // The same answer for known and unknown names, before the password is looked at.
  if (assessment?.action === "deny") return [403, { error: `Sign-in was declined. Contact support and quote ${assessment.id}` }];
  const isRight = isPasswordRight(form.username, form.password);
  if (assessment) report(assessment, isRight ? "success" : "failure");
  if (!isRight) return [401, { error: "Wrong name or password" }];
  // `challenge` requires a stronger proof before the session; after it, report "challenge_passed" under the same id. `review` may.
  return [200, { signedIn: form.username, secondFactor: assessment?.action === "challenge" || assessment?.action === "review" }];
}

createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (request.method !== "POST" || request.url !== "/sign-in") return answer(404, { error: "POST /sign-in" });
  let text = "";
  for await (const chunk of request) if ((text += chunk).length > 10_000) return answer(413, { error: "too large" });
  let form;
  try {
    form = JSON.parse(text);
  } catch {
    form = null;
  }
  if (typeof form?.username !== "string" || typeof form.password !== "string") return answer(400, { error: "send username and password" });
  answer(...(await signIn(request, form)));
}).listen(Number(PORT), "127.0.0.1");
