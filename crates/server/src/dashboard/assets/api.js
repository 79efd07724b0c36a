// Requests to the server. The token is sent in a header and stored for this tab only.

import { ROOT } from "./location.js";

const STORED = "riskgate-token";
let token = sessionStorage.getItem(STORED);

/** Takes the token from the link that the program has printed, and removes it from the URL. */
export function takeToken() {
  const found = /^#token=([\w.~+/=-]+)$/.exec(location.hash);
  if (!found) return;
  setToken(found[1]);
  history.replaceState(null, "", location.pathname + location.search);
}

/** Stores a token for this tab; null removes it. */
export function setToken(value) {
  token = value;
  if (value) sessionStorage.setItem(STORED, value);
  else sessionStorage.removeItem(STORED);
}

/** Whether this tab has a token. */
export const hasToken = () => Boolean(token);

/** A refused or failed request. */
export class RequestError extends Error {
  constructor(status, problem) {
    super(problem.detail ? `${problem.title}: ${problem.detail}` : problem.title ?? "the server did not answer");
    this.status = status;
    this.code = problem.code;
    this.detail = problem.detail ?? "";
  }
}

/** Requests a path below `v1/`. A body makes it a POST. */
export async function request(path, body) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(new URL(`v1/${path}`, ROOT), { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new RequestError(response.status, answer);
  return answer;
}
