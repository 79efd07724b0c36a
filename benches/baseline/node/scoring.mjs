// What the handler and the service share: the address, the cached score, the decision.
import { LRUCache } from "lru-cache";
import { open } from "maxmind";
import { Pool } from "undici";

const DENY_AT = 80;
const REVIEW_AT = 50;

const networks = await open(process.env.NETWORKS);
const service = new URL(process.env.SERVICE_URL);
const pool = new Pool(service.origin, { connections: 32, bodyTimeout: 1200, headersTimeout: 1200 });
const scores = new LRUCache({ max: 20_000, ttl: 3_600_000 });
const countries = new LRUCache({ max: 20_000 });

/** The service's score of an address, from the cache or from the service. */
export async function scoreOf(ip) {
  const known = scores.get(ip);
  if (known !== undefined) return known;
  const { statusCode, body } = await pool.request({
    path: service.pathname,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ip }),
  });
  const answer = await body.json();
  if (statusCode !== 200) throw new Error(`the service answered ${statusCode}`);
  scores.set(ip, answer.score);
  return answer.score;
}

/** Weighs the service's score with the network, the hour and the person's last country. */
export function decide(user, ip, score) {
  const record = (ip && networks.get(ip)) || {};
  const reasons = [];
  if (score) reasons.push({ code: "service_http", weight: score });
  if (record.kind === "hosting" || record.kind === "vpn" || record.kind === "tor") reasons.push({ code: record.kind, weight: 20 });
  if (new Date().getUTCHours() < 5) reasons.push({ code: "unusual_hour", weight: 10 });
  if (record.country && (countries.get(user) ?? record.country) !== record.country) reasons.push({ code: "new_country", weight: 15 });
  const total = Math.min(100, reasons.reduce((sum, reason) => sum + reason.weight, 0));
  const decision = total >= DENY_AT ? "deny" : total >= REVIEW_AT ? "review" : "allow";
  if (decision === "allow" && record.country) countries.set(user, record.country);
  return { decision, score: total, reasons };
}
