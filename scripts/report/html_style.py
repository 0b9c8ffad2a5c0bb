"""The look of ``report.html``: light, dark and print from one set of variables.

The class colours are those of Okabe and Ito (distinct under colour blindness), darkened or lightened until each has at
least 3:1 contrast with its background, as WCAG 2.1 asks of graphics.
"""

from __future__ import annotations

import re

LIGHT = """
--bg:#f5f6f8;--card:#fff;--ink:#1b2330;--soft:#566072;--line:#dfe3ea;--good:#0a7a55;--bad:#c3311d;--badbg:#fdecea;
--goodbg:#e6f5ef;--none:#7b8494;--dh:#b96a00;--qra:#0b6cb0;--qkd:#00875f;--code:#f1f3f7;--hit:#fff0c2
"""
DARK = """
--bg:#11151c;--card:#1a2029;--ink:#e6eaf1;--soft:#a2adbd;--line:#303a48;--good:#45cf9b;--bad:#ff8672;--badbg:#3b1e1b;
--goodbg:#14342a;--none:#98a2b2;--dh:#f0a93b;--qra:#5db3f0;--qkd:#34c79a;--code:#12171f;--hit:#4d4115
"""

# What a drawing of a network needs, in the page or in a file of its own.
DRAWING = """
svg text{font:13px system-ui,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif;fill:var(--ink)}
.ch{fill:none;stroke-width:2.4;stroke-linecap:round}
.ch.none,.count.none{stroke:var(--none)}.ch.dh,.count.dh{stroke:var(--dh)}
.ch.qra,.count.qra{stroke:var(--qra)}.ch.qkd,.count.qkd{stroke:var(--qkd)}
.ch.none{stroke-dasharray:.1 6}.ch.dh{stroke-dasharray:6 6}.ch.qra{stroke-dasharray:15 6}
.ch.dim{opacity:.24;stroke-width:1.6}
.ch.dark{opacity:.5;stroke-width:1.4;stroke-dasharray:2 5}
.ch.used{stroke-width:5}
.ch.used.none{stroke-dasharray:.1 9}.ch.used.dh{stroke-dasharray:8 9}.ch.used.qra{stroke-dasharray:18 9}
.ch.cut{stroke:var(--bad);stroke-width:2.4;stroke-dasharray:3 6}
.cross circle,.ring{fill:var(--card);stroke:var(--bad);stroke-width:2}
.ring{fill:none;stroke-dasharray:4 3}
.cross path{stroke:var(--bad);stroke-width:2.4;stroke-linecap:round;fill:none}
.count circle{fill:var(--card);stroke-width:1.6}
.count text{text-anchor:middle;font-size:11px;font-weight:700;stroke:none}
.site rect{fill:var(--card);stroke:var(--ink);stroke-width:1.6}
.site text{text-anchor:middle;font-weight:600}
.site.dim rect{stroke:var(--line)}.site.dim text{fill:var(--soft)}
.crowded .ch{stroke-width:1.5}
.crowded .ch.none{stroke-dasharray:.1 3.2}.crowded .ch.dh{stroke-dasharray:3.5 3.5}
.crowded .ch.qra{stroke-dasharray:9 3.5}
.crowded .ch.dim{stroke-width:1;opacity:.3}.crowded .ch.dark{stroke-width:1;stroke-dasharray:1.5 4}
.crowded .ch.used{stroke-width:3.4}.crowded .ch.cut{stroke-width:2}
.dense .ch{stroke-width:.7;opacity:.8}.dense .ch.used{stroke-width:2.4;opacity:1}
.dense .ch.qra{stroke-dasharray:5 2}.dense .ch.dh{stroke-dasharray:2 2}.dense .ch.none{stroke-dasharray:.1 1.8}
.crowded .site text,.crowded .weight{font-size:11px;font-weight:500;text-anchor:start;paint-order:stroke;
stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.crowded .weight{fill:var(--soft)}
.mark,.site rect.mark{fill:var(--card);stroke:var(--ink);stroke-width:1.5}
.site.metro .mark{fill:var(--soft)}.site.core rect.mark{fill:var(--ink)}
.site.dim .mark,.site.dim rect.mark{stroke:var(--soft);fill:var(--card);stroke-width:1}
.lead{stroke:var(--soft);stroke-width:.8;fill:none}
svg text.legend{font-size:12px;fill:var(--soft)}
"""

STYLE = (
    ":root{color-scheme:light dark;" + LIGHT.replace("\n", "") + "}"
    "@media (prefers-color-scheme:dark){:root{" + DARK.replace("\n", "") + "}}"
    "@media print{:root{" + LIGHT.replace("\n", "") + ";--bg:#fff}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",
"DejaVu Sans",sans-serif;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:1120px;margin:0 auto;padding:32px 20px 56px}
h1{font-size:30px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:20px;margin:40px 0 4px;letter-spacing:-.005em}
h3{font-size:16px;margin:0}
p{margin:4px 0 12px}
.soft{color:var(--soft)}
header{display:flex;flex-wrap:wrap;align-items:center;gap:8px 16px}
header p{flex-basis:100%;margin:2px 0 0}
.pill{display:inline-block;border-radius:999px;padding:3px 12px;font-weight:600;font-size:14px}
.pill.good{background:var(--goodbg);color:var(--good)}
.pill.bad{background:var(--badbg);color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:22px 0 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tile{padding:12px 14px}
.tile b{display:block;font-size:25px;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tile b small{font-size:14px;font-weight:500;color:var(--soft);letter-spacing:0}
.tile span{color:var(--soft);font-size:13px;line-height:1.35;display:block}
.tile.bad b{color:var(--bad)}
.card{padding:16px 18px;margin:12px 0 0;overflow-x:auto}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:12px;margin-top:12px}
.pair .card{margin:0}
.facts{display:flex;flex-wrap:wrap;gap:2px 22px;color:var(--soft);font-size:14px;margin:2px 0 8px}
.facts b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:600;text-align:left;vertical-align:bottom;font-size:12.5px}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line)}
td{vertical-align:top}
tr:last-child td{border-bottom:0}
.num{text-align:right}
.wrap{white-space:normal}
td.nw,th.nw{white-space:nowrap}
.checks .nw{width:1%;padding-right:22px}
.good{color:var(--good)}.bad{color:var(--bad)}
.key{display:inline-block;border-radius:5px;padding:0 7px;font-size:12.5px;font-weight:600;border:1.5px solid}
.key.none{color:var(--none)}.key.dh{color:var(--dh)}.key.qra{color:var(--qra)}.key.qkd{color:var(--qkd)}
.hops{white-space:nowrap;font-size:12.5px;line-height:1.7}
.hop{font-weight:600;padding:0 2px}
.hop.none{color:var(--none)}.hop.dh{color:var(--dh)}.hop.qra{color:var(--qra)}.hop.qkd{color:var(--qkd)}
.legend{display:flex;flex-wrap:wrap;gap:6px 22px;font-size:13px;margin:6px 0 0}
.legend span{display:inline-flex;align-items:center;gap:8px}
.legend svg{width:44px;height:10px;flex:none}
svg{display:block;width:100%;height:auto;overflow:visible}
svg.plot{min-width:620px}
"""
    + DRAWING
    + """
.plot .grid{stroke:var(--line);fill:none}.plot .axis{stroke:var(--soft);fill:none}
.plot .tick{fill:var(--soft);font-size:12px}.plot .end{text-anchor:end}.plot .mid{text-anchor:middle}
.plot .dots{stroke:var(--qra);stroke-width:3.2;stroke-linecap:round}
.plot .lost{stroke:var(--bad);stroke-width:1.5}
.plot .losttext{fill:var(--bad);font-size:12px;font-weight:600;text-anchor:end}
.plot .out{fill:var(--badbg)}
.plot .cutline{stroke:var(--bad);stroke-width:1.6;stroke-dasharray:5 4}
.plot .cuttext{fill:var(--bad);font-weight:600;font-size:13px}
pre{margin:8px 0 0;padding:10px 12px;background:var(--code);border-radius:8px;overflow-x:auto;
font:11px/1.6 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre mark{background:var(--hit);color:inherit;border-radius:2px}
footer{margin-top:36px;font-size:13px;color:var(--soft)}
@media print{main{max-width:none;padding:0}.card,.tile,tr{break-inside:avoid}h2{break-after:avoid}}
"""
)

# For a file of its own: the reader's page decides on light or dark, so it brings its own card.
# Its colours are written out, since printers, LaTeX and Inkscape know no variables.
_COLOURS = dict(entry.split(":") for entry in LIGHT.replace("\n", "").split(";"))
STANDALONE = re.sub(r"var\((--[a-z]+)\)", lambda found: _COLOURS[found[1]], "svg{background:var(--card)}" + DRAWING)
