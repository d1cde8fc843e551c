//! How the page looks: on screens light and dark, on a phone, on paper.

/// The style sheet.
pub(super) const CSS: &str = r#"
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f7f9;--edge:#d5d9e0;--ink:#1c2330;--soft:#55606f;--grid:#e3e6eb;
--good:#1a6b2f;--good-bar:#57b272;--warn:#7d5300;--warn-bar:#dba63a;--bad:#a81f26;--bad-bar:#dd5c61;--busy:#1f5fbf;--busy-bar:#6ea4ee;
--plain-bar:#9aa5b5;--whole:#c9d0da;--good-bg:#e7f6ea;--warn-bg:#fdf2d6;--bad-bg:#fde5e5;--busy-bg:#e3eefc}
@media screen and (prefers-color-scheme:dark){:root{--ground:#14181f;--panel:#1b212b;--edge:#36404f;--ink:#e9edf3;--soft:#a5b0c0;
--grid:#283040;--good:#7fd396;--good-bar:#3f8f58;--warn:#e6bd5c;--warn-bar:#a97e25;--bad:#ff8d91;--bad-bar:#b8454b;--busy:#8fbcff;
--busy-bar:#3f72b8;--plain-bar:#5f6b7c;--whole:#3a4556;--good-bg:#17301f;--warn-bg:#352a10;--bad-bg:#3a1a1d;--busy-bg:#16273f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
overflow-wrap:anywhere}
main{max-width:1120px;margin:0 auto;padding:20px 24px 48px}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.12rem;margin:2rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--edge)}
h3{font-size:1rem;margin:0 0 .5rem}
p{margin:.4rem 0}
.soft{color:var(--soft)}
.mono,code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.85em}
.badge{display:inline-block;padding:.1em .6em;border-radius:1em;font-size:.85rem;font-weight:600;vertical-align:middle;
background:var(--panel);border:1px solid currentColor;white-space:nowrap}
.badge.good{color:var(--good);background:var(--good-bg)}.badge.warn{color:var(--warn);background:var(--warn-bg)}
.badge.bad{color:var(--bad);background:var(--bad-bg)}.badge.busy{color:var(--busy);background:var(--busy-bg)}.badge.faint{color:var(--soft)}
.lead{font-size:1.05rem}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1.2rem;margin:.9rem 0 0}
.facts dt{color:var(--soft)}.facts dd{margin:0}
.todo{border:1px solid var(--warn);border-left-width:5px;background:var(--warn-bg);border-radius:6px;padding:.6rem 1rem;margin:1.2rem 0}
.todo h2{border:0;margin:0 0 .2rem;padding:0}.todo ol{margin:.2rem 0;padding-left:1.4rem}
.wrong{border:1px solid var(--bad);border-left-width:5px;background:var(--bad-bg);border-radius:6px;padding:.6rem 1rem;margin:1.2rem 0}
.wrong h2{border:0;margin:0 0 .2rem;padding:0}
.box{overflow-x:auto;border:1px solid var(--edge);border-radius:8px;background:var(--ground)}
.box svg{display:block;margin:0 auto}
.gantt{position:relative;--names:21rem;border:1px solid var(--edge);border-radius:8px;padding:6px 14px 10px;background:var(--ground)}
.gantt .lines{position:absolute;top:26px;bottom:6px;left:calc(var(--names) + 14px);right:14px}
.gantt .lines i{position:absolute;top:0;bottom:0;width:0;border-left:1px solid var(--grid)}
.gantt .lines i.last{border-left:2px solid var(--bad-bar)}.gantt .lines i.resumed{border-left:2px dashed var(--busy-bar)}
.row{position:relative;display:grid;grid-template-columns:var(--names) minmax(0,1fr);align-items:center;min-height:23px}
.row .name{display:flex;gap:.45em;align-items:baseline;min-width:0;padding-right:14px;
padding-left:calc(var(--depth,0)*1.1rem);font-size:.84rem;line-height:1.3}
.row .what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.row .node{color:var(--soft);white-space:nowrap}
.row .took{margin-left:auto;color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap}
.row .sign{width:1.1em;text-align:center;flex:none}
.good .sign{color:var(--good)}.warn .sign{color:var(--warn)}.bad .sign{color:var(--bad)}.busy .sign{color:var(--busy)}.faint .sign{color:var(--soft)}
.row .track{position:relative;height:15px;display:block}
.row.axis{min-height:20px}.row.axis .at{position:absolute;transform:translateX(-50%);font-size:.72rem;color:var(--soft);white-space:nowrap;line-height:15px}
.row.axis .at:first-child{transform:none}
.row.marks .mark{position:absolute;font-size:.74rem;line-height:15px;font-weight:600;padding:0 6px;max-width:100%;overflow:hidden;
text-overflow:ellipsis;white-space:nowrap;background:var(--ground)}
.mark.last{color:var(--bad)}.mark.resumed{color:var(--busy)}
.bar{position:absolute;top:2px;height:11px;min-width:3px;border-radius:2px;background:var(--plain-bar)}
.bar.whole{top:5px;height:5px;background:var(--whole)}
.bar.good{background:var(--good-bar)}.bar.warn{background:var(--warn-bar)}.bar.bad{background:var(--bad-bar)}.bar.busy{background:var(--busy-bar)}
.bar.wait{top:7px;height:1px;min-width:0;background:none;border-top:2px dotted var(--soft)}
.bar.effect{top:9px;height:4px;min-width:2px;border-radius:0;background:var(--ink);opacity:.72}
.bar.effect.doubt{background:var(--bad);opacity:1}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.8rem;color:var(--soft);margin:.5rem 0 0}
.legend span{display:inline-flex;align-items:center;gap:.4em}
.legend i{position:static;display:inline-block;width:22px}.legend i.wait{height:0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px}
.card{border:1px solid var(--edge);border-radius:8px;padding:.8rem 1rem;background:var(--panel)}
.card ul{list-style:none;margin:0;padding:0}.card ul ul{margin-left:.45rem;padding-left:.9rem;border-left:2px solid var(--edge)}
.card li{margin:.35rem 0}
.card .node{font-weight:600}.card .role{margin-left:.4em}.card .told{display:block;font-size:.8rem;color:var(--soft)}
.card .changed>.node{box-shadow:inset 0 -.5em var(--warn-bg)}
.decisions{margin:0;padding:0;list-style:none}
.decisions li{display:grid;grid-template-columns:8rem minmax(0,1fr);gap:.2rem 1rem;padding:.5rem 0;border-bottom:1px solid var(--grid)}
.decisions .topic{font-weight:600}.decisions .topic.bad{color:var(--bad)}
.evidence{display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:.2rem 0 0;font-size:.82rem;color:var(--soft)}
.evidence code{color:var(--ink)}
details.step{border:1px solid var(--edge);border-radius:6px;margin:.35rem 0;background:var(--ground);margin-left:calc(var(--depth,0)*1.1rem)}
details.step>summary{cursor:pointer;padding:.35rem .8rem;display:flex;flex-wrap:wrap;gap:.1rem .7em;align-items:baseline}
details.step>summary .what{font-weight:600}details.step>summary .took{margin-left:auto;color:var(--soft);font-variant-numeric:tabular-nums}
details.step[open]>summary{border-bottom:1px solid var(--grid)}
details.step .in{padding:.5rem .8rem .7rem}
details.step.faint>summary{color:var(--soft)}details.step.bad{border-color:var(--bad)}
.part{margin:.5rem 0}.part>.soft{font-size:.82rem}
pre{margin:.25rem 0;padding:.5rem .7rem;background:var(--panel);border:1px solid var(--grid);border-radius:5px;white-space:pre-wrap;overflow-wrap:anywhere}
.outputs{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.05rem 1rem;margin:.2rem 0}
.outputs dt{color:var(--soft)}.outputs dd{margin:0;white-space:pre-wrap}
footer{margin-top:2.5rem;color:var(--soft);font-size:.82rem}
@media screen and (max-width:760px){
body{font-size:14.5px}main{padding:14px 12px 32px}h1{font-size:1.3rem}
.facts{grid-template-columns:minmax(0,1fr);gap:0}.facts dd{margin:0 0 .4rem}
.gantt{--names:0px;padding:6px 10px 10px}.gantt .lines{left:10px;right:10px}
.row{grid-template-columns:minmax(0,1fr);padding-top:3px}.row>*{grid-column:1}
.row .name{background:var(--ground);padding-right:0}.row.axis .name,.row.marks .name{display:none}
.row.marks .track{height:auto}.row.marks .mark{position:static;display:block;white-space:normal;padding:0}
.box svg{zoom:.85}
.pair{grid-template-columns:minmax(0,1fr)}
.decisions li{grid-template-columns:minmax(0,1fr)}
details.step{margin-left:calc(var(--depth,0)*.5rem)}
.outputs{grid-template-columns:minmax(0,1fr)}.outputs dd{margin:0 0 .3rem}
}
@media print{
@page{margin:14mm}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
body{font-size:10.5pt}main{max-width:none;padding:0}
.gantt{--names:18rem}.row,.decisions li,.card,pre,.todo,.wrong{break-inside:avoid}
h2{break-after:avoid}.box{overflow:visible;border:0}.box svg{max-width:100%;max-height:210mm;height:auto}
details.step{break-inside:auto}details.step>summary{list-style:none;break-after:avoid}
details.step::details-content{content-visibility:visible;display:block;height:auto;opacity:1}
}
"#;

/// Two comforts. Folded steps are of no use on paper: browsers that do not know the rule above open them by this. And
/// on a phone the graph, which is wider, begins with its middle. Without it everything is there all the same.
pub(super) const SCRIPT: &str = "addEventListener('beforeprint',()=>document.querySelectorAll('details:not([open])')\
.forEach(d=>{d.open=true;d.dataset.was='closed'}));addEventListener('afterprint',()=>\
document.querySelectorAll('details[data-was]').forEach(d=>{d.open=false;delete d.dataset.was}));\
addEventListener('DOMContentLoaded',()=>document.querySelectorAll('.box')\
.forEach(b=>{b.scrollLeft=(b.scrollWidth-b.clientWidth)/2}));";

/// What the page may do: nothing from elsewhere, and no script but the one above, told by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-n0r7e40TvKnBEG0Mxax7MyvxMMums1JwVgkRE+EOzZE='; \
base-uri 'none'; form-action 'none'";
