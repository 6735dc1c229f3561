// The sign-in page.
import "./sign-in.css";
import { at, start } from "./page.js";
import { put, say } from "./say.js";
import { signIn } from "./session.js";

/** Where to go then: only ever a page of ours. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  return ["/", "/supervisor", "/quality"].includes(wanted) ? wanted : "/";
}

start("title.sign-in", () => {});
at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  put(at("problem"), "");
  at("submit").disabled = true;
  try {
    await signIn(at("name").value.trim(), at("password").value);
    location.assign(next());
  } catch (refusal) {
    const key = { 401: "sign-in.wrong", 429: "sign-in.often" }[refusal.status];
    put(at("problem"), key ? say(key) : refusal.message);
    at("password").select();
    at("submit").disabled = false;
  }
});
