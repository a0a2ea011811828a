// Light, dark, or as the system says: a button that goes through the three, and remembers.

const KEY = "embertrace-theme";
const NAMES = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" };
const ORDER = ["auto", "light", "dark"];

export function setUpTheme(button) {
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = NAMES[theme];
    button.setAttribute("aria-label", `Theme: ${theme}. Change it.`);
  };
  let theme = ORDER.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "auto";
  apply(theme);
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    localStorage.setItem(KEY, theme);
    apply(theme);
  });
}
