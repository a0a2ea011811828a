"""The look of a report's page: one sheet, for light and dark, wide and narrow, screen and paper.

Rules of this file: no font, picture or address from elsewhere. Colours are named once, in both themes, each with a
contrast of at least 4.5 for text against what is behind it.
"""

from __future__ import annotations

COLOURS = (
    # name, light, dark
    ("page", "#ffffff", "#14171c"),
    ("raised", "#f6f7f9", "#1c2027"),
    ("line", "#e3e6eb", "#2c333d"),
    ("text", "#1b1f26", "#eef1f5"),
    ("muted", "#5a6472", "#a3adbb"),
    ("accent", "#2f6fd0", "#6ea8ff"),
    ("warm", "#b4690e", "#f0b04f"),
    ("green", "#2b8a6b", "#5fcaa6"),
    ("bad", "#b3261e", "#ff8a80"),
    ("on-accent", "#ffffff", "#0b0f15"),
    ("on-middle", "#101319", "#0b0f15"),
)
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif"

SHEET = """
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.55 FONTS; }
main { max-width: 1060px; margin: 0 auto; padding: 56px 28px 72px; }
header { margin-bottom: 40px; }
.eyebrow { margin: 0 0 6px; color: var(--muted); font-size: 13px; letter-spacing: .02em; }
h1 { margin: 0; font-size: 34px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em; overflow-wrap: anywhere; }
.meta { margin: 8px 0 0; color: var(--muted); }
.warning { margin: 18px 0 0; padding: 10px 14px; border-left: 3px solid var(--warm); background: var(--raised); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(205px, 1fr)); gap: 12px; margin: 30px 0 0; }
.tile { padding: 14px 16px 12px; border: 1px solid var(--line); border-radius: 10px; }
.tile dt { color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
.tile dd { margin: 4px 0 0; font-size: 26px; font-weight: 620; letter-spacing: -.01em; line-height: 1.25; }
.tile dd small { display: block; color: var(--muted); font-size: 12.5px; font-weight: 400; letter-spacing: 0; }
.tile small span { white-space: nowrap; }
dl { margin: 0; }
section { padding: 30px 0 6px; border-top: 1px solid var(--line); }
h2 { margin: 0; font-size: 20px; line-height: 1.3; font-weight: 620; letter-spacing: -.01em; overflow-wrap: anywhere; }
h3 { margin: 10px 0 2px; font-size: 14px; font-weight: 600; color: var(--muted); overflow-wrap: anywhere; }
.about { margin: 4px 0 0; color: var(--muted); }
.content { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 4px 40px; margin-top: 12px; }
.block { min-width: 0; max-width: 100%; }
figure { flex: 0 0 470px; max-width: 100%; min-width: 0; margin: 10px 0; }
figure.wide { flex: 1 1 100%; overflow-x: auto; }
details { flex: 1 1 100%; min-width: 0; margin: 2px 0 14px; }
summary { color: var(--muted); font-size: 13px; cursor: pointer; }
figcaption { margin-top: 6px; color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 8px 0 20px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 20px 6px 0; text-align: left; vertical-align: top; white-space: nowrap; }
th { color: var(--muted); font-weight: 500; font-size: 13px; border-bottom: 1px solid var(--line); }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--line); }
tbody th { color: var(--text); font-weight: 500; font-size: 14px; border-bottom: 0; }
td.number, th.number { text-align: right; }
th.text, td.text { max-width: 340px; overflow: hidden; text-overflow: ellipsis; }
td.faint, .remarks { color: var(--muted); }
td.branch { padding-left: calc(var(--depth) * 16px); }
td.bad { color: var(--bad); }
td.bar { min-width: 100px; vertical-align: middle; }
td.bar i { display: block; height: 8px; border-radius: 4px; background: var(--accent); }
p.line { flex: 1 1 100%; }
.remarks { margin: -12px 0 20px; font-size: 13px; }
p.line { margin: 14px 0; }
footer { margin-top: 40px; color: var(--muted); font-size: 13px; }
svg { display: block; max-width: 100%; height: auto; }
.wide svg { max-width: none; }
.plot { width: 100%; overflow: visible; max-width: calc(var(--own-width) * 1.12); }
.plot.wide { min-width: 640px; max-width: 1004px; }
.plot text { font: 12px FONTS; fill: var(--text); font-variant-numeric: tabular-nums; }
.plot .faint { fill: var(--muted); font-size: 11.5px; }
.plot .failed { fill: var(--bad); }
.plot .grid { stroke: var(--line); }
.plot .reference { stroke: var(--muted); stroke-dasharray: 4 4; }
.plot .whisker { stroke: var(--accent); stroke-width: 2; stroke-opacity: .5; stroke-linecap: round; }
.plot .dot { fill: var(--accent); }
.plot .fitted { fill: none; stroke: var(--warm); stroke-width: 2; stroke-linejoin: round; }
.plot .cell { fill: var(--accent); }
.plot .value { font-size: 11px; }
.plot .on-dark { fill: var(--on-accent); }
.plot .on-middle { fill: var(--on-middle); }
.plot .bar { fill: var(--accent); }
.plot .tail { stroke: var(--accent); stroke-opacity: .45; }
.plot .end { fill: var(--accent); }
.plot .span { fill: var(--green); }
.plot .span.ensemble { fill: var(--accent); }
.plot .span.judge { fill: var(--warm); }
.plot .span.error { fill: var(--bad); }
.plot .span.open, .plot .span.lost { fill-opacity: .4; }
@media (max-width: 560px) {
  main { padding: 32px 18px 48px; }
  h1 { font-size: 27px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .tile { padding: 11px 12px 10px; }
  .tile dd { font-size: 21px; }
  .plot text { font-size: 13.5px; }
  .plot .faint, .plot .value { font-size: 12.5px; }
  .wide .embertrace-flow { width: 620px; }
  td.bar { display: none; }
  th.bar { display: none; }
  th, td { padding-right: 14px; }
}
@media print {
  main { padding: 0; max-width: none; }
  figure, tr { break-inside: avoid; }
}
""".replace("FONTS", FONTS)


def sheet() -> str:
    """The whole sheet, with the colours of both themes."""
    light = " ".join(f"--{name}: {colour};" for name, colour, _ in COLOURS)
    dark = " ".join(f"--{name}: {colour};" for name, _, colour in COLOURS)
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{SHEET}"
    )
