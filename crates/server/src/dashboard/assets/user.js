// One account: its sign-ins, and the devices, places and hours that are usual for it.

import { request } from "./api.js";
import { byId, createElement, createFacts, createLink, formatCount, formatDate, formatTime, plural } from "./elements.js";
import { readLocation, urlOf } from "./location.js";
import { createFilterButton, createShortTable } from "./decisions.js";
import { createActions } from "./actions.js";

/** Shows an account by its pseudonym. */
export async function showUser(who) {
  byId("user-title").textContent = `Account ${who}`;
  const user = await request(`activity/users/${encodeURIComponent(who)}`);
  const places = user.places.map((place) => createElement("li", "", createFilterButton("country", place.country), " ", createFilterButton("asn", place.asn, place.asn && `AS${place.asn}`), " ", createFilterButton("net", place.net),
    ` ${plural(place.count, "time")}, last ${formatTime(place.last)}`));
  const devices = user.devices.map((device) => createElement("li", "", createFilterButton("device", device.device), ` ${plural(device.count, "time")}, last ${formatTime(device.last)}`));
  const newest = user.sign_ins[0];
  byId("user-body").replaceChildren(
    createElement("p", "", `${plural(user.total, "stored sign-in")}: ${formatCount(user.got_in)} got in, ${formatCount(user.stopped)} stopped or challenged.`),
    createElement("div", "actions", ...createActions({ user: user.user, isRestricted: (user.records ?? []).some((record) => Date.parse(record.tokens_held_until) > Date.now()) })),
    ...(newest ? [createElement("p", "aside", "The page knows no name. Your application's log has the id of a decision, such as ", createElement("code", "", newest.id), "; Find opens the account of a name or a sub.")] : []),
    createElement("div", "columns",
      createElement("section", "", createElement("h3", "", "Places of successful sign-ins"), list(places, "None is stored.")),
      createElement("section", "", createElement("h3", "", "Devices of successful sign-ins"), list(devices, "None is stored.")),
      createElement("section", "", createElement("h3", "", "Hours of successful sign-ins, UTC"), createHours(user.hours)),
      createElement("section", "", createElement("h3", "", "In the store"), createRecords(user.records, user.restriction))),
    createElement("h3", "", "Sign-ins, newest first"),
    createShortTable(user.sign_ins, "Sign-ins of the account"));
}

const list = (items, empty) => (items.length ? createElement("ul", "plain", ...items) : createElement("p", "empty", empty));

function createHours(hours) {
  const most = Math.max(...hours, 1);
  const bars = createElement("div", "hours");
  bars.setAttribute("role", "img");
  const busy = hours.map((count, hour) => [count, hour]).filter(([count]) => count).map(([count, hour]) => `${hour}:00 ${count}`);
  bars.setAttribute("aria-label", busy.length ? `Sign-ins by hour: ${busy.join(", ")}` : "No successful sign-in is stored");
  hours.forEach((count, hour) => {
    const bar = createElement("i", "");
    bar.style.height = `${(count / most) * 100}%`;
    bar.title = `${hour}:00 – ${count}`;
    bars.append(bar);
  });
  return bars;
}

/** Since when, why and until when tokens omit groups and scopes. */
function describeRestriction({ since, until, decision }) {
  const cause = decision ? createElement("span", "", "after ", createLink("mono", decision, { view: "decision", id: decision }, urlOf({ ...readLocation(), view: "decision", id: decision }))) : "by a challenge, a report of fraud or a judged session of that time, which is not among the stored decisions";
  return createElement("span", "", `since ${formatDate(since)}, `, cause, `, until a challenge is passed or ${formatDate(until)}: new tokens omit what WITHHOLD_GROUPS and WITHHOLD_SCOPES name`);
}

function createRecords(records, restriction) {
  if (!records) return createElement("p", "empty", "Not available here.");
  const record = records.find((found) => found.successes > 0) ?? records[0];
  if (!record) return createElement("p", "empty", "Nothing is stored.");
  const values = (level) => record.values.filter((value) => value.level === level).length;
  const block = record.block && `${record.block.kind}${record.block.until ? ` until ${formatDate(Date.parse(record.block.until))}` : ""}${record.block.note ? ` (${record.block.note})` : ""}`;
  return createFacts([
    ["successes", formatCount(record.successes)], ["known devices", values("device")], ["known networks", values("network")], ["known countries", values("country")],
    ["last success", record.last_success && formatDate(Date.parse(record.last_success))], ["block", block || "none"],
    ["tokens restricted", restriction && describeRestriction(restriction)], ["open challenges", record.challenges.length || null],
  ]);
}
