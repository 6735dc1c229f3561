// Who has signed in, and how this page speaks to the server.
import { say } from "./say.js";

let csrf = "";

/** An answer that is no success. `message` is a sentence for the reader; `status` 0: no answer at all. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks the server. Gives the answer's JSON (null without a body); throws `Refusal`.
 *
 * Whoever is not signed in any more is led to the sign-in page, except where `mayBeOut` says that this is expected.
 */
export async function ask(method, path, body, { mayBeOut = false, wait = 8000, headers: more = {} } = {}) {
  const headers = { Accept: "application/json", ...more };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(wait),
      cache: "no-store",
    });
  } catch {
    throw new Refusal(say("error.no-server"), 0);
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null; // a proxy's page, not our server's answer
  }
  if (response.ok) return answer;
  if (response.status === 401 && !mayBeOut) {
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  }
  throw new Refusal(answer?.error ?? say("error.status", { status: response.status }), response.status);
}

/** The session: {name, role, rights, masked, …}, or null before a sign-in. Throws `Refusal`. */
export async function session() {
  try {
    return remember(await ask("GET", "/api/session", undefined, { mayBeOut: true }));
  } catch (refusal) {
    if (refusal.status === 401) return null;
    throw refusal;
  }
}

/** Signs in. Gives the session; throws `Refusal`. */
export async function signIn(name, password) {
  return remember(await ask("POST", "/api/session", { name, password }, { mayBeOut: true }));
}

/** Signs out and shows the sign-in page. */
export async function signOut() {
  try {
    await ask("DELETE", "/api/session", undefined, { mayBeOut: true });
  } finally {
    location.assign("/sign-in");
  }
}

function remember(found) {
  csrf = found.csrf ?? "";
  return found;
}
