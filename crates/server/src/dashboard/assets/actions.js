// Actions of operators. The dialog says what an action does, asks for a note and an expiry, shows how many known accounts it affects, and the
// command that does the same. Where nobody may act, as on a log, it shows the command alone.

import { request } from "./api.js";
import { byId, createButton, createElement, formatCode, formatDate, formatTime, plural } from "./elements.js";

/** For each action: its button, the title and the verb of its dialog, what it does, and what was done. */
const ACTIONS = {
  "suspend user": ["Suspend account", "Suspend the account", "Suspend", "Denies every sign-in of this account, and token refreshes that riskgate sees. Tokens that exist stay valid until they expire.", "Account suspended"],
  "exempt user": ["Exempt account", "Exempt the account", "Exempt", "Lets in this account's next sign-ins with the right password, whatever their score. A sign-in that was stopped is not repeated: the person signs in again.", "Account exempt"],
  "lift user": ["Lift restriction", "Lift the restriction of its tokens", "Lift", "The account's next tokens have all groups and scopes again. Whether a sign-in is let in does not change.", "Restriction lifted"],
  "revoke user": ["Revoke sessions", "Revoke all sessions of the account", "Revoke", "Ends the sessions of the name below in the user pool at once. It cannot be undone. The page knows only the pseudonym, so enter the name.", "Sessions revoked"],
  "suspend client": ["Suspend client", "Suspend the app client", "Suspend", "Denies every sign-in through this app client within ten seconds, and its token refreshes. Tokens that exist stay valid until they expire.", "Client suspended"],
  "exempt client": ["Exempt client", "Exempt the app client", "Exempt", "Lets in every sign-in with the right password through this app client, whatever its score, within ten seconds.", "Client exempt"],
  "suspend network": ["Suspend network", "Suspend the network", "Suspend", "Denies every sign-in from this network (a /24 or /48) within ten seconds. Sessions that are open go on.", "Network suspended"],
  "exempt network": ["Exempt network", "Exempt the network", "Exempt", "Lets in every sign-in with the right password from this network (a /24 or /48), whatever its score, within ten seconds, unless its address is only claimed. People who were stopped sign in again.", "Network exempt"],
  "suspend asn": ["Suspend AS", "Suspend the whole AS", "Suspend", "Denies every sign-in from every network of this AS within ten seconds. RISKGATE_DENY_ASNS denies it for good.", "AS suspended"],
  "suspend range": ["Suspend range", "Suspend an address range", "Suspend", "Denies every sign-in from this range within ten seconds.", "Range suspended"],
  "exempt range": ["Exempt range", "Exempt an address range", "Exempt", "Lets in every sign-in with the right password from this range.", "Range exempt"],
  "label fraud": ["Mark as fraud", "Mark as fraud", "Mark as fraud", "Records that this sign-in was not by the account's owner: nothing is learned from it. It blocks nothing. For that, suspend the account.", "Marked as fraud"],
  "label not_fraud": ["Mark as owner", "Mark as the owner's", "Mark as owner", "Records that this sign-in was by the account's owner: its device and place are learned while its outcome is open. It lets in nobody now: the person signs in again.", "Marked as the owner's"],
};
const SUB = "SUB_OF_THE_USER";
const NAMED = { user: "Account", network: "Network", asn: "AS", client: "App client", range: "Range", decision: "Decision" };

let session = {};
let onChange = () => {};
let pending = null;
let command = "";
let asked = 0;
/** The newest action on each subject, as the server lists them. */
let newest = new Map();

const keyOf = ({ subject, value }) => `${subject} ${value}`;
const textOf = ({ action, label, subject }) => ACTIONS[`${action} ${label ?? subject}`] ?? [action, action, action, "", action];

/** Tells this module who acts, and what to call when something has changed. */
export async function setActionContext(newSession, callback) {
  session = newSession;
  onChange = callback;
  await readActions();
}

async function readActions() {
  if (!session.may_view) return [];
  const { actions } = await request("actions");
  newest = new Map(actions.toReversed().map((action) => [keyOf(action), action]));
  return actions;
}

function createActionButton(action) {
  const button = createButton("", textOf(action)[0], () => openDialog(action));
  button.dataset.action = `${action.action} ${keyOf(action)}`;
  return button;
}

/** Buttons with the state that the newest action on their subject has left. */
function createGroup(name, buttons, subject, value) {
  const done = newest.get(keyOf({ subject, value }));
  return createElement("div", "buttons", name ? createElement("span", "muted", name) : null, ...buttons, done ? createState(done) : null);
}

/** What was done to a subject, by whom and why, with Undo next to it. */
function createState(action) {
  const until = action.until ? ` until ${formatTime(action.until)}` : "";
  const text = `${textOf(action)[4]}${until} by ${action.operator} at ${formatTime(action.at)}: “${action.note}”`;
  const state = createElement("span", "action-state", action.undone_by ? `${text}. ${describeUndo(action)}` : text);
  state.dataset.key = keyOf(action);
  state.setAttribute("role", "status");
  if (!action.undone_by && action.can_undo) state.append(" ", createUndo(action));
  return state;
}

const describeUndo = (action) => `Undone by ${action.undone_by} at ${formatTime(action.undone_at)}: “${action.undo_note}”.`;

const createUndo = (action) => createButton("", "Undo", () => openDialog({ undo: action.id, text: textOf(action)[0], subject: action.subject, value: action.value, isLabel: action.action === "label", command: action.undo_command }));

/** The buttons that label a decision, or several. */
export function createLabelButtons(...ids) {
  const action = (label) => ({ action: "label", subject: "decision", value: ids[0], values: ids, label });
  const buttons = [createActionButton(action("fraud")), createActionButton(action("not_fraud"))];
  if (ids.length > 1) buttons.forEach((button, at) => { button.textContent = `${["Mark all as fraud", "Mark all as owner"][at]} (${ids.length})`; });
  return [createGroup("", buttons, "decision", ids[0])];
}

/** The buttons for the account, the network, the AS and the client of a row, by subject. `isRestricted` says that the account's tokens are. */
export function createActions({ user, net, client, asn, isRestricted }) {
  const group = (subject, value, actions, name) => createGroup(name ?? NAMED[subject], actions.map((action) => createActionButton({ action, subject, value: String(value) })), subject, String(value));
  const groups = [];
  if (user) groups.push(group("user", user, ["suspend", "exempt", ...(isRestricted ? ["lift"] : []), ...(session.can_revoke ? ["revoke"] : [])]));
  if (net) groups.push(group("network", net, ["suspend", "exempt"]));
  if (asn) groups.push(group("asn", asn, ["suspend"], `AS${asn}`));
  if (client) groups.push(group("client", client, ["suspend"], `Client ${client}`));
  return groups;
}

/** Prepares the dialog. */
export function setUpDialog() {
  byId("action-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (session.can_act) submit();
  });
  byId("action-cancel").addEventListener("click", () => byId("action").close());
  byId("action-copy").addEventListener("click", copyCommand);
  for (const id of ["action-expiry", "action-note", "action-sub"]) byId(id).addEventListener("change", () => preview());
}

function openDialog(action) {
  pending = { ...action };
  const [, title, verb, effect] = textOf(action);
  byId("action-title").textContent = action.undo ? `Undo: ${action.text}` : title;
  byId("action-subject").textContent = action.values?.length > 1 ? plural(action.values.length, "decision") : `${NAMED[action.subject] ?? formatCode(action.subject)} ${action.value}`;
  byId("action-effect").textContent = action.undo ? (action.isLabel ? "The decision gets its earlier outcome again. What the history learned from the label stays." : "What was in force before is in force again, within ten seconds.") : effect;
  byId("action-only-command").hidden = session.can_act;
  byId("action-only-command").textContent = session.has_operators ? "Acting here needs an operator's token. This command does the same:" : "This page shows a log and cannot act. Where riskgate runs, this command does it:";
  const needsName = action.action === "revoke" && session.can_act;
  byId("action-name-field").hidden = !needsName;
  byId("action-name").required = needsName;
  byId("action-name").value = "";
  byId("action-sub").value = "";
  byId("action-sub-field").hidden = true;
  byId("action-expiry-field").hidden = Boolean(action.undo) || !["suspend", "exempt"].includes(action.action);
  byId("action-forever").disabled = action.action !== "suspend" || action.subject !== "user";
  byId("action-expiry").value = "21600";
  byId("action-note").value = "";
  byId("action-note").required = Boolean(session.can_act);
  byId("action-submit").hidden = !session.can_act;
  byId("action-submit").textContent = action.undo ? "Undo" : verb;
  byId("action-cancel").textContent = session.can_act ? "Cancel" : "Close";
  for (const id of ["action-affected", "action-fault", "action-copied"]) byId(id).textContent = "";
  showCommand(action.undo ? action.command ?? "" : "");
  byId("action").showModal();
  (needsName ? byId("action-name") : session.can_act ? byId("action-note") : byId("action-copy")).focus();
  preview();
}

function body() {
  const { action, subject, value, label } = pending;
  const sent = { action, subject, value, note: byId("action-note").value };
  if (label) sent.label = label;
  if (action === "revoke") sent.name = byId("action-name").value.trim();
  const seconds = Number(byId("action-expiry").value);
  if (!byId("action-expiry-field").hidden && seconds) sent.seconds = seconds;
  return sent;
}

/** Asks for the command, and for the number of known accounts that are affected. */
async function preview() {
  if (!pending || pending.undo) return undefined;
  const number = ++asked;
  const sent = body();
  if (sent.note.trim().length < 3) sent.note = "the reason";
  // The command has a placeholder for the name, which is sent only to act.
  if (pending.action === "revoke") sent.name = "NAME_OF_THE_USER";
  try {
    const { command: text, users } = await request("actions/preview", sent);
    if (number !== asked) return undefined;
    pending.confirmed_users = users;
    if (users != null) byId("action-affected").textContent = users ? `Affects ${plural(users, "known account")} that got in from there, in the stored decisions.` : "No known account got in from there, in the stored decisions.";
    showCommand((pending.values ?? []).length > 1 ? pending.values.map((id) => text.replace(pending.value, id)).join("\n") : text);
    byId("action-fault").textContent = "";
    return users;
  } catch (error) {
    if (number === asked) byId("action-fault").textContent = error.message;
    return undefined;
  }
}

function showCommand(text) {
  byId("action-sub-field").hidden = !text.includes(SUB);
  const sub = byId("action-sub").value.trim();
  command = sub ? text.replaceAll(SUB, `'${sub.replaceAll("'", `'\\''`)}'`) : text;
  byId("action-command").textContent = command;
  byId("action-command-field").hidden = !command;
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(command);
    byId("action-copied").textContent = "Copied.";
  } catch {
    // Without HTTPS a browser may refuse. The text is selected instead.
    getSelection().selectAllChildren(byId("action-command"));
    byId("action-copied").textContent = "Selected: copy it with the keyboard.";
  }
}

async function submit() {
  const { note } = body();
  byId("action-submit").disabled = true;
  try {
    if (pending.undo) {
      await request(`actions/${encodeURIComponent(pending.undo)}/undo`, { note });
    } else {
      if (pending.confirmed_users == null && ["client", "network", "asn", "range"].includes(pending.subject) && (await preview()) == null) return;
      for (const value of pending.values ?? [pending.value]) {
        const sent = { ...body(), value };
        if (pending.confirmed_users != null) sent.confirmed_users = pending.confirmed_users;
        await request("actions", sent);
      }
    }
    const key = keyOf(pending);
    byId("action").close();
    await readActions();
    await onChange();
    // The button that was pressed has been drawn again, with its state beside it.
    const state = document.querySelector(`.view:not([hidden]) [data-key="${CSS.escape(key)}"], header [data-key="${CSS.escape(key)}"]`);
    (state?.querySelector("button") ?? byId("content")).focus();
  } catch (error) {
    byId("action-fault").textContent = error.message;
    if (error.code === "confirm") preview();
  } finally {
    byId("action-submit").disabled = false;
  }
}

/** Lists the actions of this process, newest first. */
export async function showActions() {
  const actions = await readActions();
  const none = session.has_operators ? "No action since this process started. Earlier ones are in the audit log, and in force until they expire: riskgate block list." : "This page shows a log. Actions in it are among the changes; those in force: riskgate block list.";
  byId("actions-list").replaceChildren(...(actions.length ? actions.map(createItem) : [createElement("p", "empty", none)]));
}

function createItem(action) {
  const until = action.until ? `, until ${formatDate(action.until)}` : "";
  const item = createElement("article", "action-item",
    createElement("p", "", createElement("b", "", `${textOf(action)[4]}: ${NAMED[action.subject] ?? action.subject} ${action.value}`), ` by ${action.operator}, ${formatDate(action.at)}${until}`),
    createElement("p", "action-note", action.note),
    createElement("p", "", "The same as a command: ", createElement("code", "", action.command)));
  if (action.sessions) item.append(createElement("p", "", `${plural(action.sessions.revoked, "session")} ended${action.sessions.failed ? `, ${action.sessions.failed} may still exist` : ""}.`));
  if (!action.can_undo) item.append(createElement("p", "muted", "It cannot be undone."));
  else if (action.undone_by) item.append(createElement("p", "muted", describeUndo(action)));
  else item.append(createUndo(action));
  return item;
}
