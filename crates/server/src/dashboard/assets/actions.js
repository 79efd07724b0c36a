// Actions of operators. The dialog asks for a note and an expiry, and shows how many known accounts are affected.

import { request } from "./api.js";
import { byId, createButton, createElement, formatCode, formatDate, plural } from "./elements.js";

const TITLES = {
  "suspend user": "Suspend the account", "exempt user": "Exempt the account", "lift user": "Lift the restriction of its tokens", "revoke user": "Revoke all sessions of the account", "suspend client": "Suspend the app client", "exempt client": "Exempt the app client",
  "suspend range": "Suspend a network", "exempt range": "Exempt a network", "label fraud": "Label as fraud", "label not_fraud": "Label as the account's owner",
};

let session = {};
let onChange = () => {};
let pending = null;

/** Tells this module who acts, and what to call when something has changed. */
export function setActionContext(newSession, callback) {
  session = newSession;
  onChange = callback;
}

function button(text, action) {
  const element = createButton("", text, () => openDialog(action));
  element.disabled = !session.can_act;
  if (!session.can_act) element.title = session.has_operators ? "Acting needs an operator's token" : "This page shows a log. Use the commands.";
  return element;
}

/** The buttons that label a decision. */
export const createLabelButtons = (id) => [
  button("Fraud", { action: "label", subject: "decision", value: id, label: "fraud" }),
  button("Owner", { action: "label", subject: "decision", value: id, label: "not_fraud" }),
];

/** The buttons for the account, the network and the client of a row. */
export function createActions({ user, net, client, asn }) {
  const buttons = [];
  if (user) buttons.push(button("Suspend account", { action: "suspend", subject: "user", value: user }), button("Exempt account", { action: "exempt", subject: "user", value: user }), button("Lift restriction", { action: "lift", subject: "user", value: user }));
  if (user && session.can_revoke) buttons.push(button("Revoke sessions", { action: "revoke", subject: "user", value: user }));
  if (net) buttons.push(button("Suspend network", { action: "suspend", subject: "range", value: "", net }));
  if (client) buttons.push(button("Suspend client", { action: "suspend", subject: "client", value: client }));
  if (asn) buttons.push(createElement("span", "muted", `To deny everybody in AS${asn}, your users there too, set RISKGATE_DENY_ASNS=AS${asn}.`));
  return buttons;
}

/** Prepares the dialog. */
export function setUpDialog() {
  byId("action-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("action-cancel").addEventListener("click", () => byId("action").close());
  byId("action-range").addEventListener("change", () => showAffected());
}

function openDialog(action) {
  pending = { ...action };
  byId("action-title").textContent = action.undo ? `Undo: ${formatCode(action.text)}` : TITLES[`${action.action} ${action.label ?? action.subject}`];
  byId("action-subject").textContent = action.undo ? (action.isLabel ? "The decision gets its earlier outcome again. What the history learned from the label stays." : "") : action.subject === "range" ? `Network ${action.net}. Enter its addresses. The page knows only the pseudonym: look in the access log of your load balancer or app at the time of the decision.` : `${formatCode(action.subject)} ${action.value}${action.action === "revoke" ? ". It ends the sessions of the name below at once, and cannot be undone. The page knows only the pseudonym." : ""}`;
  const needsName = action.action === "revoke" && !action.undo;
  byId("action-name-field").hidden = !needsName;
  byId("action-name").required = needsName;
  byId("action-name").value = "";
  byId("action-range-field").hidden = action.subject !== "range";
  byId("action-range").required = action.subject === "range";
  byId("action-range").value = "";
  const expires = ["suspend", "exempt"].includes(action.action) && !action.undo;
  byId("action-expiry-field").hidden = !expires;
  byId("action-forever").disabled = action.action !== "suspend" || action.subject !== "user";
  byId("action-expiry").value = "21600";
  byId("action-note").value = "";
  for (const id of ["action-affected", "action-fault"]) byId(id).textContent = "";
  byId("action").showModal();
  (needsName ? byId("action-name") : action.subject === "range" ? byId("action-range") : byId("action-note")).focus();
  if (action.subject === "client") showAffected();
}

async function showAffected() {
  if (!pending || pending.undo || !["client", "range"].includes(pending.subject)) return undefined;
  const value = pending.subject === "range" ? byId("action-range").value.trim() : pending.value;
  if (!value) return undefined;
  try {
    const { users } = await request(`actions/affected?${new URLSearchParams({ subject: pending.subject, value })}`);
    pending.confirmed_users = users;
    byId("action-affected").textContent = `Affects ${plural(users, "known account")} that got in from there, in the stored decisions.`;
    byId("action-fault").textContent = "";
    return users;
  } catch (error) {
    byId("action-fault").textContent = error.message;
    return undefined;
  }
}

async function submit() {
  const note = byId("action-note").value;
  const action = pending;
  byId("action-submit").disabled = true;
  try {
    if (action.undo) {
      await request(`actions/${encodeURIComponent(action.undo)}/undo`, { note });
    } else {
      const body = { action: action.action, subject: action.subject, value: action.subject === "range" ? byId("action-range").value.trim() : action.value, note };
      if (action.label) body.label = action.label;
      if (action.action === "revoke") body.name = byId("action-name").value.trim();
      const seconds = Number(byId("action-expiry").value);
      if (!byId("action-expiry-field").hidden && seconds) body.seconds = seconds;
      if (["client", "range"].includes(action.subject)) {
        if (action.confirmed_users == null && (await showAffected()) == null) return;
        body.confirmed_users = pending.confirmed_users;
      }
      await request("actions", body);
    }
    byId("action").close();
    byId("done").textContent = "Done. It is in the audit log, and listed under Actions.";
    onChange();
  } catch (error) {
    byId("action-fault").textContent = error.message;
    if (error.code === "confirm") showAffected();
  } finally {
    byId("action-submit").disabled = false;
  }
}

/** Lists the actions of this process, newest first. */
export async function showActions() {
  const { actions } = await request("actions");
  byId("actions-list").replaceChildren(...(actions.length ? actions.map(createItem) : [createElement("p", "empty", "No action since the start. Earlier ones are in the audit log.")]));
}

function createItem(action) {
  const what = `${action.action}${action.label ? ` ${formatCode(action.label)}` : ""}: ${formatCode(action.subject)} ${action.value}`;
  const until = action.until ? `, until ${formatDate(action.until)}` : "";
  const item = createElement("article", "action-item",
    createElement("p", "", createElement("b", "", what), ` by ${action.operator}, ${formatDate(action.at)}${until}`),
    createElement("p", "action-note", action.note),
    createElement("p", "", "The same as a command: ", createElement("code", "", action.command)));
  if (action.sessions) item.append(createElement("p", "", `${plural(action.sessions.revoked, "session")} ended${action.sessions.failed ? `, ${action.sessions.failed} may still exist` : ""}.`));
  if (!action.can_undo) item.append(createElement("p", "muted", "It cannot be undone."));
  else if (action.undone_by) item.append(createElement("p", "muted", `Undone by ${action.undone_by}.`));
  else item.append(button("Undo", { undo: action.id, text: what, isLabel: action.action === "label" }));
  return item;
}
