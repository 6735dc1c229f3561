"use strict";
document.getElementById("form").onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ name: document.getElementById("name").value, password: document.getElementById("password").value });
  const answer = await fetch("/api/session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (answer.ok) {
    const next = new URLSearchParams(location.search).get("next") || "/";
    location.assign(/^\/[a-z-]*$/.test(next) ? next : "/");
    return;
  }
  document.getElementById("said").textContent = (await answer.json()).error;
};
