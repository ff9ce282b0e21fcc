extension StatusPage {
    /// The page's script.
    static let script = "\n'use strict';\n" + figures + drawing

    /// Makes rows of a report's figures, as `tunic status` does, from a catalogue of them.
    ///
    /// The catalogue is a list: each figure has the `path` to its value in a report, its `row`, `phrase` and `style`,
    /// its `help`, what it says when `absent`, and whether it is shown when it is `zero`. Nothing here needs a browser.
    static let figures = #"""
        function figuresOf(catalog) {
          const known = value => value !== null && value !== undefined;
          const total = counts => Object.values(counts || {}).reduce((a, b) => a + b, 0);
          const bytes = n => {
            const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
            let unit = 0;
            while (n >= 999.5 && unit + 1 < units.length) { n /= 1000; unit++; }
            return n.toFixed(unit && n < 9.95 ? 1 : 0) + ' ' + units[unit];
          };
          const time = s => s < 120 ? Math.floor(s) + ' s' : s < 7200 ? Math.floor(s / 60) + ' min'
            : s < 172800 ? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min' : Math.floor(s / 86400) + ' d';
          const two = n => String(Math.floor(n)).padStart(2, '0');
          const styles = {
            count: n => String(n), bytes, text: t => t, truth: b => b ? 'yes' : 'no', duration: time,
            hours: s => `${Math.floor(s / 3600)}:${two(s % 3600 / 60)}:${two(s % 60)}`,
            seconds: s => s.toFixed(1) + ' s',
            date: s => new Date(Math.min(s, 1e12) * 1000).toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
            milliseconds: n => n.toFixed(1) + ' ms',
            times: list => {
              const sorted = [...list].sort((a, b) => a - b);
              return sorted.length ? `median ${sorted[sorted.length >> 1].toFixed(1)} ms, longest ${sorted.at(-1).toFixed(1)} ms` : '–';
            },
            percent: n => n.toFixed(1) + ' %', fee: n => n / 100 + ' %',
            sesh: n => (n / 1e9).toLocaleString('en', { maximumFractionDigits: 2 }), reasons: counts => String(total(counts)),
            each: list => list.join(', '), shares: list => list.map(n => n + ' %').join(', '),
          };
          // The cards of some objects of a report; the rest is in that of the role, ''.
          const cards = { registry: 'Registry', snapshot: 'Registry', watching: 'Tests', oxend: 'oxend' };
          const value = (report, figure) => figure.path.reduce((o, key) => known(o) ? o[key] : undefined, report);
          const isZero = v => Array.isArray(v) ? !v.some(n => n) : typeof v === 'object' ? !total(v) : !v;
          function phrase(report, figure) {
            const v = value(report, figure);
            if (!known(v)) return figure.path.length > 1 && known(report[figure.path[0]]) ? figure.absent : null;
            return figure.zero || !isZero(v) ? figure.phrase.replace('#', () => styles[figure.style](v)) : null;
          }
          function rows(report, card) {
            const rows = new Map();
            for (const figure of catalog) {
              if (!figure.row || ((figure.path.length > 1 && cards[figure.path[0]]) || '') !== card) continue;
              const text = phrase(report, figure);
              if (!text) continue;
              const name = figure.row[0].toUpperCase() + figure.row.slice(1), before = rows.get(name);
              rows.set(name, known(before) ? before + (/^[ ,;]/.test(text) ? '' : ', ') + text : text.replace(/^[ ,;]+/, ''));
            }
            return [...rows];
          }
          // What has counts by reason, and those.
          const reasons = report => catalog.filter(f => f.style === 'reasons' && total(value(report, f)))
            .map(f => [f.help.replace(/\.$/, ''), value(report, f)]);
          return { bytes, time, known, total, rows, reasons };
        }

        """#
}
