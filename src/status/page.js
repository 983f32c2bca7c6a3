"use strict";
// Takes a new body from the server every two seconds; while nobody looks, none.
let since = Date.now();
async function renew() {
  const lost = document.getElementById("lost");
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw answer.status;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(next.querySelector("main"));
      document.title = next.title;
      lost.className = "bad";
      since = Date.now();
    } catch (why) {
      const seconds = Math.round((Date.now() - since) / 1000);
      lost.textContent = "No answer for " + seconds + " s" + (typeof why === "number" ? " (" + why + ")" : "") + ". What stands below is old; this page goes on asking.";
      lost.className = "bad shown";
    }
  }
  setTimeout(renew, 2000);
}
setTimeout(renew, 2000);
