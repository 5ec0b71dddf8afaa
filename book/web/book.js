// The scoreboard's filter, and the card that a link names. Without this script every claim is there, closed.
(() => {
  const form = document.querySelector(".deepatoms-filter");
  const claims = [...document.querySelectorAll(".deepatoms-scoreboard .deepatoms-claim")];
  if (!form || !claims.length) return;

  const titles = Object.fromEntries([...document.querySelectorAll("section:has(> .deepatoms-scoreboard)")].map(section =>
    [section.querySelector(".deepatoms-claim").dataset.paper, section.querySelector("h3").firstChild.textContent]));
  const fields = ["paper", "chapter", "verdict"];
  const words = value => titles[value] || value.replaceAll("-", " ");
  // Verdicts that no claim has got can be asked for as well.
  const possible = { verdict: [...document.querySelectorAll(".deepatoms-counts .deepatoms-verdict")].map(each => each.dataset.verdict) };
  const texts = new Map(claims.map(claim => [claim, claim.textContent.toLowerCase()]));

  function select(field) {
    const values = [...new Set([...(possible[field] || []), ...claims.map(claim => claim.dataset[field])])];
    const options = values.map(value => `<option value="${value}">${words(value)}</option>`).join("");
    return `<label>${field[0].toUpperCase()}${field.slice(1)} <select name="${field}"><option value="">all</option>${options}</select></label>`;
  }

  function apply() {
    const chosen = Object.fromEntries(new FormData(form));
    const sought = chosen.text.toLowerCase().split(/\s+/);
    const fits = claim => fields.every(field => !chosen[field] || claim.dataset[field] === chosen[field])
      && sought.every(word => texts.get(claim).includes(word));
    const found = claims.filter(fits);
    for (const claim of claims) claim.hidden = !found.includes(claim);
    for (const section of document.querySelectorAll("section:has(> .deepatoms-scoreboard)"))
      section.hidden = !section.querySelector(".deepatoms-claim:not([hidden])");
    form.querySelector("[role=status]").textContent = `${found.length} of ${claims.length} claims`;
    const query = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
    history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
  }

  // A link to a claim opens its card, whatever the filter says.
  function reveal() {
    const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!card?.matches(".deepatoms-claim")) return;
    card.open = true;
    card.hidden = card.closest("section").hidden = false;
    card.scrollIntoView();
  }

  form.innerHTML = '<label>Search <input type="search" name="text" autocomplete="off"></label>' + fields.map(select).join("") +
    '<button type="reset">Show all</button><span role="status"></span>';
  const asked = new URLSearchParams(location.search);
  for (const field of [...fields, "text"]) if (asked.has(field)) form.elements[field].value = asked.get(field);
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  addEventListener("hashchange", reveal);
  form.hidden = false;
  apply();
  reveal();
})();
