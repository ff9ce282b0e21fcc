extension StatusPage {
    /// The script that draws the page.
    ///
    /// Text from outside only ever becomes text, never markup.
    static let drawing = #"""
        (() => {
          const params = new URLSearchParams(location.search);
          const token = params.get('token') || sessionStorage.getItem('token') || '';
          try { sessionStorage.setItem('token', token); } catch (e) { /* the page works without */ }
          history.replaceState(null, '', '/');
          const main = document.getElementById('main');
          const history_ = { client: [], relay: [] };
          const LIMIT = 120;

          function make(name, attributes, ...children) {
            const svg = ['svg', 'path', 'line', 'text', 'g'].includes(name);
            const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
            for (const [key, value] of Object.entries(attributes || {})) if (value !== null) node.setAttribute(key, value);
            for (const child of children.flat()) if (child !== null && child !== undefined && child !== false)
              node.append(child instanceof Node ? child : document.createTextNode(String(child)));
            return node;
          }
          const short = node => node.endsWith('.snode') && node.length > 16 ? node.slice(0, 8) : node;
          const { bytes, time, known, total, rows, reasons } = figuresOf(JSON.parse(document.getElementById('catalog').textContent));
          const ms = value => known(value) ? value.toFixed(1) + ' ms' : '–';
          const card = (title, wide, ...children) =>
            make('section', { class: 'card' + (wide ? ' wide' : '') }, make('h2', {}, title), ...children);
          const figures = pairs => make('dl', { class: 'figures' },
            pairs.filter(p => p).map(([name, value]) => make('div',
            { class: typeof value === 'string' && value.length > 14 ? 'long' : null },
            make('dt', {}, name), make('dd', {}, value))));
          const table = (heads, rows) => make('div', { class: 'scroll' }, make('table', {},
            make('thead', {}, make('tr', {}, heads.map(h => make('th', { scope: 'col' }, h)))),
            make('tbody', {}, rows.map(cells => make('tr', {}, cells.map(c => make('td', {}, c)))))));

          function chart(samples) {
            const width = Math.max(300, Math.min(1500, document.body.clientWidth) - 66), height = 170, left = 62, bottom = 20, top = 8;
            const most = Math.max(1000, ...samples.flatMap(s => [s.in, s.out]));
            const step = Math.pow(10, Math.floor(Math.log10(most)));
            const limit = Math.ceil(most / step) * step;
            const x = i => left + (width - left - 4) * (LIMIT - samples.length + i) / (LIMIT - 1);
            const y = v => top + (height - top - bottom) * (1 - v / limit);
            const svg = make('svg', { viewBox: `0 0 ${width} ${height}`, class: 'chart', role: 'img',
              'aria-label': 'Bytes a second over the last two minutes' });
            for (const part of [0, .5, 1]) {
              svg.append(make('line', { class: 'grid', x1: left, x2: width - 4, y1: y(limit * part), y2: y(limit * part) }));
              svg.append(make('text', { x: left - 6, y: y(limit * part) + 4, 'text-anchor': 'end' }, bytes(limit * part) + '/s'));
            }
            svg.append(make('text', { x: left, y: height - 4 }, '2 minutes ago'));
            svg.append(make('text', { x: width - 4, y: height - 4, 'text-anchor': 'end' }, 'now'));
            for (const kind of ['in', 'out']) {
              if (samples.length < 2) break;
              const line = samples.map((s, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${y(s[kind]).toFixed(1)}`).join('');
              svg.append(make('path', { class: 'area ' + kind,
                d: `${line}L${x(samples.length - 1).toFixed(1)} ${y(0)}L${x(0).toFixed(1)} ${y(0)}Z` }));
              svg.append(make('path', { class: 'curve ' + kind, d: line }));
            }
            return svg;
          }

          function traffic(report) {
            const samples = history_[report.role];
            const last = samples[samples.length - 1] || { in: 0, out: 0 };
            return card('Throughput', true, chart(samples), make('p', { class: 'legend' },
              make('span', {}, make('span', { class: 'key in' }),
                ` received ${bytes(last.in)}/s, ${bytes(report.total.bytes_in)} in all`),
              make('span', {}, make('span', { class: 'key out' }),
                ` sent ${bytes(last.out)}/s, ${bytes(report.total.bytes_out)} in all`)));
          }

          function route(path) {
            const hop = (name, label, kind, rtt) => make('li', {}, make('div', { class: 'hop' + (kind ? ' ' + kind : '') },
              make('b', {}, name), make('span', {}, label),
              known(rtt) && make('i', { class: 'rtt', title: 'From here to this node and back' }, ms(rtt))));
            // What lies between is not asked: only the ends of the link and of the path answer.
            const last = path.hops.length - 1;
            const rtt = i => i === last ? path.rtt_ms : i ? null : path.guard_rtt_ms;
            const labels = path.hops.map((_, i) => i === last ? 'exit' : i ? 'middle' : 'guard');
            return make('div', { class: 'path' },
              make('ol', { class: 'route' + (path.active ? ' active' : '') }, hop('you', 'here', 'end'),
                path.hops.map((node, i) => hop(short(node), labels[i], null, rtt(i))), hop('web', 'outside', 'end')),
              make('p', {}, known(path.rtt_ms) ? [make('b', {}, ms(path.rtt_ms)), ' round trip'] : 'Not used yet',
                (known(path.build_ms) ? ` · built in ${ms(path.build_ms)}` : '') +
                ` · ${path.state}${path.active ? ', carries data' : ''} · ` +
                `${time(path.age_s)} old · ${bytes(path.bytes_in)} in, ${bytes(path.bytes_out)} out`));
          }

          function steps(report) {
            const parts = report.progress || [];
            if (!parts.length || report.ready) return null;
            const current = parts.findIndex(p => !p.done);
            return card('Starting', true, make('ol', { class: 'steps' }, parts.map((p, i) =>
              make('li', { class: p.done ? 'done' : i === current ? 'now' : '' }, p.step))));
          }

          function client(state, report) {
            const paths = (state.paths || []).filter(p => p.state !== 'dead');
            const keys = state.streams || [], exits = (state.exits || []);
            const used = exits.filter(e => e.sessions > 0);
            return [
              steps(report),
              traffic(report),
              card('Client', false, figures([...rows(report, ''), ...rows(report, 'Registry'),
                ['Proxy', report.socks.join(', ') || '–']])),
              card('Exit in use', false, used.length ? table(['Exit', 'Country', 'Works', 'Sessions'], used.map(e =>
                [make('code', {}, short(e.node)), e.country || '–', up(e.up), e.sessions]))
                : make('p', { class: 'empty' }, 'No app uses one now. ' + exits.length + ' could be used.')),
              card('Paths', true, paths.length ? make('div', { class: 'paths' }, paths.map(route)) : make('p', { class: 'empty' }, 'No paths yet.')),
              card(['Streams by isolation key ', make('small', {}, '(random labels)')], true, keys.length
                ? table(['Key', 'Streams', 'Exit', 'Round trip', 'Received', 'Sent', ''], keys.map(k =>
                  [make('code', {}, k.label), k.streams, make('code', {}, short(k.exit)), ms(k.rtt_ms), bytes(k.bytes_in),
                    bytes(k.bytes_out), newPathButton(k.label)]))
                : make('p', { class: 'empty' }, 'No app has anything open.' +
                  (state.setup ? ` Set your browser to SOCKS5 ${state.setup.address}.` : ''))),
            ];
          }
          const up = value => value === null || value === undefined ? make('span', { class: 'tag' }, 'not tried')
            : make('span', { class: 'tag ' + (value ? 'good' : 'bad') }, value ? 'yes' : 'no');

          function relay(state, report) {
            const counts = reasons(report).map(([title, values]) => card(title, false, table(['Reason', 'Count', 'Share'],
              Object.entries(values).sort((a, b) => b[1] - a[1]).map(([reason, count]) =>
                [words(reason), count, share(count / total(values))]))));
            const daemon = rows(report, 'oxend');
            return [
              traffic(report),
              card('Relay', false, figures([...rows(report, ''), ['Exit', report.exit ? 'yes' : 'no']])),
              card('Node', false, figures([['Address', make('code', {}, report.node || '–')],
                ['Listens at', (report.addresses || []).join(', ') || '–']])),
              registry(state, report), tests(state.registry, report), ...counts, daemon.length ? card('oxend', false, figures(daemon)) : null,
            ];
          }
          const words = reason => reason.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
          const share = part => {
            const percent = (100 * part).toFixed(part < .1 ? 1 : 0) + ' %';
            return make('span', { class: 'share', title: percent },
              make('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none', class: 'bar', 'aria-label': percent, role: 'img' },
                make('path', { d: `M0 0H${(100 * part).toFixed(1)}V8H0Z` })));
          };

          function registry(state, report) {
            const node = state.registry;
            return card('Registry', false, figures([
              !report.registry && ['This node', node ? node.state : report.ready ? 'staked' : '–'],
              ...rows(report, 'Registry'), node && ['Active for', time(node.uptime)],
            ]));
          }

          function tests(node, report) {
            if (!report.watching) return null;
            return card('Tests', false, figures([
              ['Last by others', node ? node.last_test === undefined || node.last_test === null ? 'none yet'
                : time(node.last_test) + ' ago' : '–'],
              ['Capacity, by others', node && node.capacity ? bytes(node.capacity * 1000) + '/s' : 'not measured'],
              ...rows(report, 'Tests'),
            ]));
          }

          function draw(state) {
            const reports = [state.status, ...(state.status.others || [])];
            const first = reports[0];
            for (const report of reports) {
              const samples = history_[report.role];
              const before = samples.last;
              if (before && state.time > before.time) {
                const seconds = state.time - before.time;
                samples.push({ in: Math.max(0, report.total.bytes_in - before.in) / seconds,
                  out: Math.max(0, report.total.bytes_out - before.out) / seconds });
                if (samples.length > LIMIT) samples.shift();
              }
              samples.last = { time: state.time, in: report.total.bytes_in, out: report.total.bytes_out };
            }
            const well = reports.every(r => r.ready);
            say(well ? 'good' : '', reports.map(r => (reports.length > 1 ? r.role + ': ' : '') +
              (r.draining ? 'Draining. ' : '') + (r.ready ? 'Ready.' + (r.problem ? ' ' + r.problem : '') : r.problem || 'Starting.')).join(' '));
            const process = first.process;
            document.getElementById('facts').textContent = `${first.version} · running ${time(first.uptime_s)} · ` +
              `CPU ${(process.cpu_percent).toFixed(1)} % · ${bytes(process.resident_bytes)} memory`;
            document.getElementById('newpath').hidden = first.role !== 'client';
            const scrolled = main.querySelector('pre');
            const atEnd = !scrolled || scrolled.scrollTop + scrolled.clientHeight >= scrolled.scrollHeight - 4;
            const offset = scrolled ? scrolled.scrollTop : 0;
            const sections = reports.flatMap(r => r.role === 'client' ? client(state, r) : relay(state, r));
            const log = make('pre', { tabindex: '0' }, state.log.join('\n') || 'Nothing yet.');
            sections.push(card('Log', true, log));
            main.replaceChildren(...sections.filter(s => s));
            log.scrollTop = atEnd ? log.scrollHeight : offset;
            drawSetup(state.setup);
          }

          // Drawn when it changes alone, so that a button or a selection in it lasts.
          let setupDrawn = '';
          function drawSetup(setup) {
            const key = JSON.stringify(setup || null);
            if (key === setupDrawn) return;
            setupDrawn = key;
            const line = (app, text) => {
              const code = make('pre', { tabindex: '0' }, text);
              return make('div', { class: 'app' }, make('p', {}, make('b', {}, app), copyButton(app, text, code)), code);
            };
            document.getElementById('setup').replaceChildren(...(setup ? [card('Set up an app', true,
              setup.lines.map(l => line(l.app, l.text)), line('PAC address for a browser', setup.pac),
              make('p', { class: 'empty' }, 'The PAC file never says DIRECT but for this machine itself. A browser that cannot ' +
                'load it, as when Tunic does not run, may connect directly: the lines above are safer.'))] : []));
          }
          function copyButton(app, text, code) {
            const button = make('button', { type: 'button', class: 'small', 'aria-label': 'Copy: ' + app }, 'Copy');
            button.addEventListener('click', async () => {
              let done = true;
              try { await navigator.clipboard.writeText(text); } catch (e) {
                getSelection().selectAllChildren(code);
                done = document.execCommand('copy');
              }
              button.textContent = done ? 'Copied' : 'Selected';
              setTimeout(() => { button.textContent = 'Copy'; }, 2000);
            });
            return button;
          }

          function say(kind, text) {
            document.getElementById('state').className = kind;
            document.getElementById('state-text').textContent = text;
          }
          async function ask(path, method) {
            const answer = await fetch(path, { method, headers: { 'X-Tunic-Token': token }, cache: 'no-store' });
            if (answer.status === 403) throw new Error((await answer.text()).trim());
            if (!answer.ok) throw new Error('The process answers with status ' + answer.status + '.');
            return answer.json();
          }
          async function newPath(button, label) {
            button.disabled = true;
            try {
              await ask('/newpath' + (label ? '?key=' + encodeURIComponent(label) : ''), 'POST');
              await update();
            } catch (error) { say('bad', error.message); }
            button.disabled = failures > 0;
          }
          function newPathButton(label) {
            const button = make('button', { type: 'button', class: 'small' }, 'New path');
            button.addEventListener('click', () => newPath(button, label));
            return button;
          }
          document.getElementById('newpath').addEventListener('click', event => newPath(event.target, null));

          // Without an answer the figures are old, and no button of the process works.
          function mark(isOld) {
            document.body.classList.toggle('old', isOld);
            for (const button of document.querySelectorAll('#newpath, #main button')) button.disabled = isOld;
          }

          let failures = 0;
          async function update() {
            try {
              draw(await ask('/state', 'GET'));
              if (failures) mark(false);
              failures = 0;
            } catch (error) {
              failures++;
              mark(true);
              say('bad', error instanceof TypeError ? 'The process does not answer; it may have ended.' : error.message);
            }
          }
          async function loop() {
            await update();
            setTimeout(loop, failures > 5 ? 5000 : 1000);
          }
          loop();
        })();

        """#
}
