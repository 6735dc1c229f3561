// Taking a recording away from the player: at once, or once after another person has approved it (HOTLINE_EXPORT_APPROVAL).
import { make } from "./page.js";
import { moment, put, say } from "./say.js";
import { ask, Refusal } from "./session.js";
import { attempt } from "./tell.js";

const LONGEST_REASON = 200;
const AGAIN_EVERY = 10_000;

/**
 * What a listener needs to take the sound of `call` away. `download` is the link to it, which shows while it can be used.
 * Gives {button, form, said, check(), speak(), close()}: the elements, and what keeps them right.
 */
export function makeExport(call, me, download) {
  const button = make("button", { type: "button", hidden: true, "data-say": "export.ask" });
  const said = make("span", { className: "exported", role: "status" });
  const reason = make("input", { name: "reason", required: true, maxLength: LONGEST_REASON, autocomplete: "off" });
  const send = make("button", { type: "submit", className: "main", "data-say": "export.send" });
  const cancel = make("button", { type: "button", "data-say": "cancel" });
  const form = make(
    "form", { className: "fields export", hidden: true },
    make("label", { className: "grow" }, make("span", { "data-say": "export.reason" }), reason), send, cancel,
  );
  let request = null; // one's own that is open, or approved and not used
  let timer = 0;

  async function check() {
    if (!me.export_approval) return;
    clearTimeout(timer);
    try {
      const usable = await ask("GET", "/api/export-requests?usable=1");
      request = usable.find((one) => one.call === call) ?? null;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
    speak();
    if (request && button.isConnected) timer = setTimeout(check, AGAIN_EVERY);
  }

  function speak() {
    const approved = request?.state === "approved";
    download.hidden = me.export_approval && !approved;
    button.hidden = !me.export_approval || request !== null || !form.hidden;
    const until = request && moment(request.until);
    put(said, request ? say(approved ? "export.is-approved" : "export.waits", { id: request.id, until }) : "");
  }

  function show(shown) {
    form.hidden = !shown;
    speak();
    if (shown) reason.focus();
  }

  button.addEventListener("click", () => show(true));
  cancel.addEventListener("click", () => show(false));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const path = `/api/calls/${encodeURIComponent(call)}/export-requests`;
    if (!(await attempt(send, say("done.export.ask"), () => ask("POST", path, { why: reason.value })))) return;
    reason.value = "";
    form.hidden = true;
    await check();
  });
  download.addEventListener("click", () => setTimeout(check, 1500)); // it can be used once
  return { button, form, said, check, speak, close: () => clearTimeout(timer) };
}
