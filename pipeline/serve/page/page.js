"use strict";
const form = document.getElementById("form"), drop = document.getElementById("drop");
const answer = document.getElementById("answer"), preview = document.getElementById("preview");
let asked = 0;
const file = form.elements.image, percent = (value) => (100 * value).toFixed(1) + " %";

function put(parent, tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

function line(list, label, probability) {
  const item = put(list, "li"), row = put(item, "div", undefined, "row");
  put(row, "span", label);
  put(row, "span", percent(probability));
  put(item, "div", undefined, "bar").style.width = Math.max(0, 100 * probability) + "%";
}

const named = (each) => (each.name ? each.name + " (" + each.code + ")" : each.code);

function show(found) {
  answer.replaceChildren();
  put(answer, "h2", "Most probable");
  const list = put(answer, "ol");
  for (const each of found.top) line(list, named(each), each.probability);
  if (found.flag) put(answer, "p", found.flag === "empty" ? "There is nothing to go by: these are the shares of the classes in training." : "The model looks at nothing that is given here.", "soft");
  if (found.missing.length) put(answer, "p", "Missing: " + found.missing.join(", "), "soft");
  if (!found.alone) return;
  put(answer, "h2", "Alone they say");
  const alone = put(answer, "ol");
  for (const [modality, said] of Object.entries(found.alone))
    if (said) line(alone, modality + ": " + named(said), said.probability);
    else put(alone, "li", modality + ": not given", "soft");
  put(answer, "h2", "What each field adds to " + named(found));
  const adds = put(answer, "ol");
  for (const [field, change] of Object.entries(found.adds)) {
    const row = put(put(adds, "li"), "div", undefined, "row");
    put(row, "span", field);
    put(row, "span", change === null ? "not given" : (change >= 0 ? "+" : "−") + percent(Math.abs(change)));
  }
}

function look() {
  const chosen = file.files[0];
  preview.hidden = !chosen;
  document.getElementById("hint").textContent = chosen ? chosen.name : "Drop a picture here, or choose one";
  if (chosen) preview.src = URL.createObjectURL(chosen);
}

file.addEventListener("change", look);
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());  // beside the field the browser would leave the page
for (const name of ["dragover", "dragleave", "drop"])
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      file.files = event.dataTransfer.files;
      look();
    }
  });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form), turn = ++asked;
  if (!file.files.length) data.delete("image");
  answer.replaceChildren();
  put(answer, "p", "Asking ...", "soft");
  try {
    const response = await fetch("classify?reasons=true&top=5", { method: "POST", body: data });
    const found = await response.json();
    if (turn !== asked) return;  // a later question has been asked
    if (response.ok) show(found.answers[0]);
    else {
      answer.replaceChildren();
      put(answer, "p", found.error || response.statusText);
    }
  } catch (error) {
    if (turn !== asked) return;
    answer.replaceChildren();
    put(answer, "p", "The service does not answer.");
  }
});
