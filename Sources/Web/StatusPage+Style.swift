extension StatusPage {
    /// The style sheet, light and dark, for narrow and wide windows.
    static let style = """

        :root {
          --back: #f6f7f9; --card: #fff; --line: #dfe3e8; --text: #1c2430; --dim: #5d6878;
          --in: #1668c7; --out: #b3530b; --good: #1a7f4b; --bad: #b3261e; --wait: #8a6100; --chip: #eef1f5;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --back: #12161c; --card: #1a2029; --line: #2c3542; --text: #e6eaf0; --dim: #9aa7b8;
            --in: #6bb0ff; --out: #ffa657; --good: #57c98d; --bad: #ff8a80; --wait: #e3b341; --chip: #252d39;
          }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
        header { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.2rem; padding: .8rem 1rem;
          background: var(--card); border-bottom: 1px solid var(--line); }
        h1 { font-size: 1.15rem; margin: 0; letter-spacing: .02em; }
        header p { margin: 0; }
        #state { flex: 1 1 16rem; display: flex; align-items: center; gap: .5rem; }
        #facts { color: var(--dim); font-size: .88rem; }
        .dot { flex: none; width: .7rem; height: .7rem; border-radius: 50%; background: var(--wait); }
        .good .dot { background: var(--good); } .bad .dot { background: var(--bad); }
        button { font: inherit; color: var(--text); background: var(--chip); border: 1px solid var(--line);
          border-radius: .45rem; padding: .35rem .9rem; cursor: pointer; }
        button:hover { border-color: var(--dim); } button:focus-visible { outline: 2px solid var(--in); }
        button:disabled { color: var(--dim); cursor: default; border-color: var(--line); }
        .old main, .old #facts { opacity: .4; filter: grayscale(1); }
        button.small { padding: .1rem .5rem; font-size: .82rem; }
        main { display: grid; gap: .9rem; padding: .9rem 1rem 2rem; max-width: 1500px; margin: 0 auto;
          grid-template-columns: minmax(0, 1fr); }
        @media (min-width: 900px) { main { grid-template-columns: repeat(2, minmax(0, 1fr)); } .wide { grid-column: 1 / -1; } }
        #setup { max-width: 1500px; margin: -1.1rem auto 2rem; padding: 0 1rem; }
        .app { margin: 0 0 .7rem; } .app p { margin: 0 0 .2rem; display: flex; align-items: center; gap: .6rem; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; margin: 0;
          min-width: 0; }
        h2 { font-size: .95rem; margin: 0 0 .55rem; }
        h2 small { color: var(--dim); font-weight: normal; }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.2rem, 1fr)); gap: .5rem .9rem; margin: 0; }
        .figures div { min-width: 0; } .figures .long { grid-column: span 2; }
        dt { color: var(--dim); font-size: .82rem; }
        dd { margin: 0; font-size: 1.06rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
        svg { display: block; width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 11px; }
        .chart { height: 170px; }
        .grid { stroke: var(--line); stroke-width: 1; } .in { stroke: var(--in); } .out { stroke: var(--out); }
        .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
        .area { stroke: none; opacity: .13; } .area.in { fill: var(--in); } .area.out { fill: var(--out); }
        .key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; vertical-align: -.08rem; }
        .key.in { background: var(--in); } .key.out { background: var(--out); }
        .legend { color: var(--dim); font-size: .85rem; margin: .3rem 0 0; display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; }
        ol.route { list-style: none; display: flex; flex-wrap: wrap; align-items: center; margin: 0; padding: 0; }
        ol.route li { display: flex; align-items: center; }
        ol.route li + li::before { content: ""; width: 1.5rem; height: 2px; background: var(--line); margin: 0 .2rem; }
        ol.route li { margin: .12rem 0; }
        ol.route.active li + li::before { background: var(--good); }
        .hop { text-align: center; padding: .15rem .5rem; border: 1px solid var(--line); border-radius: .45rem;
          background: var(--chip); }
        .hop b { display: block; font: 600 .84rem ui-monospace, monospace; } .hop span { color: var(--dim); font-size: .74rem; }
        .hop .rtt { display: block; color: var(--text); font: normal .74rem ui-monospace, monospace; white-space: nowrap; }
        .hop.end { border-style: dashed; background: none; }
        .paths { display: grid; gap: .2rem 1.6rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); }
        .path { padding: .5rem 0; border-bottom: 1px solid var(--line); }
        .path p { margin: .3rem 0 0; color: var(--dim); font-size: .84rem; } .path p b { color: var(--text); }
        .share { display: block; min-width: 4rem; } .bar { height: .5rem; background: var(--chip); } .bar path { fill: var(--in); }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th { text-align: left; color: var(--dim); font-weight: normal; font-size: .82rem; }
        th, td { padding: .22rem .8rem .22rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
        tr:last-child td { border-bottom: 0; } .number { text-align: right; }
        code, pre { font: .82rem/1.5 ui-monospace, monospace; }
        pre { margin: 0; max-height: 17rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; color: var(--dim); }
        ol.steps { margin: 0; padding: 0; list-style: none; } ol.steps li { padding: .12rem 0; color: var(--dim); }
        ol.steps li::before { content: "○"; display: inline-block; width: 1.5rem; }
        ol.steps li.done { color: var(--text); } ol.steps li.done::before { content: "●"; color: var(--good); }
        ol.steps li.now::before { content: "◐"; color: var(--wait); }
        .empty { color: var(--dim); margin: 0; }
        .tag { background: var(--chip); border-radius: .35rem; padding: .05rem .45rem; font-size: .8rem; }
        .tag.good { color: var(--good); } .tag.bad { color: var(--bad); }
        @media (max-width: 560px) {
          ol.route { flex-wrap: nowrap; } ol.route li { min-width: 0; } ol.route li + li::before { width: .3rem; margin: 0; }
          ol.route li:first-child, ol.route li:last-child { display: none; }
          .hop { padding: .15rem .25rem; } .hop b { font-size: .74rem; } .hop span { display: block; font-size: .72rem; }
          th, td { padding-right: .5rem; font-size: .82rem; }
        }

        """
}
