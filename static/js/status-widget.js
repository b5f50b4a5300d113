// A link to a status page with its state, for other sites:
//   <script src="https://HOST/static/js/status-widget.js" data-page="https://HOST/status/NAME" async></script>
"use strict";

(() => {
  const colors = {
    operational: "#19764a",
    degraded: "#8a5a00",
    partial_outage: "#a8470c",
    major_outage: "#b8291f",
    maintenance: "#6547a8",
    unknown: "#5a6067",
  };
  const script = document.currentScript;
  const link = document.createElement("a");
  const dot = document.createElement("span");
  const words = document.createElement("span");
  Object.assign(dot.style, {
    display: "inline-block", width: "0.6em", height: "0.6em", marginRight: "0.5em", borderRadius: "50%",
  });
  Object.assign(link.style, { color: "inherit", textDecoration: "none" });
  link.className = "status-widget";
  link.append(dot, words);
  script.after(link);

  async function show() {
    try {
      const answer = await fetch(`${script.dataset.page}.json`);
      const told = await answer.json();
      link.href = told.page.url;
      dot.style.background = colors[told.status] ?? colors.unknown;
      words.textContent = told.headline;
    } catch {
      link.hidden = !words.textContent;
    }
  }

  show();
  setInterval(show, 60_000);
})();
