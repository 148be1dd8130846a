const MANY = 30; // rows from which on a table gets a field to narrow it down

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.order ?? row.cells[column].textContent;
      const numeric = head.classList.contains("number");
      const order = (a, b) => {
        const [p, q] = [key(a), key(b)];
        // Missing values stay at the end, whichever way the table is sorted.
        if (p === "" || q === "") return (p === "") - (q === "");
        const sign = numeric ? p - q : p.localeCompare(q, undefined, { numeric: true });
        return down ? -sign : sign;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
  if (body.rows.length < MANY) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "show rows that contain …";
  field.setAttribute("aria-label", field.placeholder);
  const shown = document.createElement("span");
  const bar = document.createElement("p");
  bar.className = "narrow";
  bar.append(field, shown);
  table.parentElement.before(bar);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      kept += !row.hidden;
    }
    shown.textContent = words.length ? `${kept} of ${body.rows.length}` : "";
  });
}
