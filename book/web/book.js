// The filter of the scoreboard. Without this script every claim is shown.
(() => {
  const form = document.querySelector(".deepatoms-filter");
  const claims = [...document.querySelectorAll(".deepatoms-scoreboard .deepatoms-claim")];
  if (!form || !claims.length) return;

  const titles = Object.fromEntries([...document.querySelectorAll("section:has(> .deepatoms-scoreboard)")].map(section =>
    [section.querySelector(".deepatoms-claim").dataset.paper, section.querySelector("h3").firstChild.textContent]));
  const fields = ["paper", "chapter", "verdict"];
  const words = value => titles[value] || value.replaceAll("-", " ");

  function select(field) {
    const values = [...new Set(claims.map(claim => claim.dataset[field]))];
    const options = values.map(value => `<option value="${value}">${words(value)}</option>`).join("");
    return `<label>${field[0].toUpperCase()}${field.slice(1)} <select name="${field}"><option value="">all</option>${options}</select></label>`;
  }

  function apply() {
    const chosen = Object.fromEntries(new FormData(form));
    const fits = claim => fields.every(field => !chosen[field] || claim.dataset[field] === chosen[field]);
    for (const claim of claims) claim.hidden = !fits(claim);
    for (const section of document.querySelectorAll("section:has(> .deepatoms-scoreboard)"))
      section.hidden = !section.querySelector(".deepatoms-claim:not([hidden])");
    form.querySelector("[role=status]").textContent = `${claims.filter(fits).length} of ${claims.length} claims`;
    const query = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
    history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
  }

  form.innerHTML = fields.map(select).join("") + '<button type="reset">Show all</button><span role="status"></span>';
  const asked = new URLSearchParams(location.search);
  for (const field of fields) if (asked.has(field)) form.elements[field].value = asked.get(field);
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.hidden = false;
  apply();
})();
