// Draws every figure from the JSON beside it, in the colours of the page, and again when those change.
(() => {
  "use strict";
  const holders = [...document.querySelectorAll("[data-figure]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 600px)");

  // The layout's own axes only: naming another would draw it.
  const colours = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    const [ink, muted, grid, line, card] = ["--ink", "--muted", "--grid", "--line", "--card"].map(read);
    const names = Object.keys(layout).filter((key) => /^[xy]axis[0-9]*$/.test(key));
    const axes = Object.fromEntries(names.flatMap((axis) => [
      [`${axis}.gridcolor`, grid], [`${axis}.linecolor`, line],
    ]));
    return {
      ...axes, "font.color": ink, "font.size": narrow.matches ? 11 : 13,
      "modebar.bgcolor": "transparent", "modebar.color": line, "modebar.activecolor": muted,
      "hoverlabel.bgcolor": card, "hoverlabel.bordercolor": line, "hoverlabel.font.color": ink,
    };
  };

  const config = {
    displaylogo: false,
    responsive: true,
    // No others: one of them would send the figure to a web site.
    modeBarButtons: [["zoom2d", "resetScale2d", "toImage"]],
  };

  for (const holder of holders) {
    const figure = JSON.parse(document.getElementById(holder.dataset.figure).textContent);
    holder.replaceChildren();
    Plotly.newPlot(holder, figure.data, figure.layout, config).then(() => Plotly.relayout(holder, colours(holder.layout)));
  }

  const recolour = () => holders.forEach((holder) => Plotly.relayout(holder, colours(holder.layout)));
  dark.addEventListener("change", recolour);
  narrow.addEventListener("change", recolour);
  // A printed page is narrower than most windows, and a figure does not follow by itself.
  addEventListener("beforeprint", () => holders.forEach(
    (holder) => Plotly.relayout(holder, { ...colours(holder.layout), width: 660 }),
  ));
  addEventListener("afterprint", () => holders.forEach((holder) => Plotly.relayout(holder, { width: null, autosize: true })));
})();
