/*
 * Stands between QGUI and Netron's page. It is loaded after Netron's index.js and before the page has loaded.
 *
 * It starts Netron without its age check, consent page and usage reports, writes mode and SQNR into the nodes, selects
 * the nodes of a layer, and tells QGUI what the person clicks. `window.qgui` is what QGUI calls. Nodes are named
 * LAYER, LAYER/what it does, or LAYER.weight/what it does.
 */
(function () {
    'use strict';

    const WIDEST = ['dynamic', '  \u26a0 100.0 dB'];
    const LONGEST = 24;
    const ONLY_ROUNDING = new Set(['QuantizeLinear', 'DequantizeLinear', 'Identity', 'Cast']);
    const rows = [];
    let marks = { layers: {}, colours: {} };
    let shown = null;

    const say = (event, facts) => {
        const body = JSON.stringify({ event, ...facts });
        window.fetch('said', { method: 'POST', body, credentials: 'omit' }).catch(() => {});
    };

    const fail = (why) => say('failed', { why: String(why) });

    // Which layer a node belongs to

    const layerOf = (name) => {
        while (name && !(name in marks.layers)) {
            const slash = name.lastIndexOf('/');
            const shorter = slash < 0 ? name.replace(/\.(weight|bias)$/, '') : name.substring(0, slash);
            name = shorter === name ? '' : shorter;
        }
        return name;
    };

    const nameOf = (element) => {
        const found = /^(?:node|input)-name-(.*)$/.exec(element.id || '');
        return found ? found[1] : '';
    };

    const nodesOf = (layer) => Array.from(document.querySelectorAll('#canvas g.node'))
        .filter((element) => layerOf(nameOf(element)) === layer);

    // Marks

    const addRow = (graph, node) => {
        const value = node.value;
        if (node.class !== 'graph-node' || !value || !value.name || ONLY_ROUNDING.has(value.type.name)) {
            return;
        }
        const layer = layerOf(value.name);
        graph.qguiMarked = graph.qguiMarked || new Set();
        if (!layer || graph.qguiMarked.has(layer)) {
            return;
        }
        graph.qguiMarked.add(layer);
        const list = node.list();
        const title = list.argument('', layer.length > LONGEST ? `\u2026${layer.slice(1 - LONGEST)}` : layer);
        title.tooltip = layer;
        const row = list.argument(WIDEST[0], WIDEST[1]);
        list.add(title);
        list.add(row);
        list.on('click', () => graph.activate(value, 'target'));
        rows.push({ layer, row });
    };

    const writeRow = ({ layer, row }) => {
        const mark = marks.layers[layer];
        if (!row.text || !mark) {
            return;
        }
        const [mode, sqnr] = row.text.querySelectorAll('tspan');
        mode.textContent = mark.mode;
        mode.style.fill = marks.colours[mark.mode] || '';
        sqnr.textContent = mark.sqnr ? `  ${mark.sqnr}` : '';
        row.element.classList.add('qgui-mark');
        row.element.dataset.layer = layer;
    };

    // Netron

    const adapt = (grapher) => {
        const Host = window.exports.browser.Host.prototype;
        const View = window.exports.view.View.prototype;
        const Graph = grapher.Graph.prototype;
        const needed = { view: Host.view, start: Host.start, environment: Host.environment, show: View.show,
            error: View.error, setNode: Graph.setNode, list: grapher.Node.prototype.list,
            build: grapher.Argument.prototype.build };
        for (const [name, method] of Object.entries(needed)) {
            if (typeof method !== 'function') {
                throw new Error(`This version of Netron has no '${name}'.`);
            }
        }
        Host.view = async function (view) {
            this._view = view;
        };
        Host.event = Host.exception = Host.openURL = () => {};
        Host.environment = function (name) {
            return name === 'menu' ? false : needed.environment.call(this, name);
        };
        // Few fonts have the brackets that Netron puts around shapes.
        grapher.Argument.prototype.build = function (...places) {
            if (typeof this.content === 'string') {
                this.content = this.content.replace(/\u3008/g, ' (').replace(/\u3009/g, ')');
            }
            return needed.build.call(this, ...places);
        };
        Graph.setNode = function (node) {
            addRow(this, node);
            return needed.setNode.call(this, node);
        };
        View.show = function (page) {
            needed.show.call(this, page);
            const target = this.target;
            if (target && target !== shown && document.body.classList.contains('default')) {
                shown = target;
                rows.forEach(writeRow);
                say('shown', { nodes: document.querySelectorAll('#canvas g.graph-node').length });
            }
        };
        View.error = async function (error) {
            fail(error && error.message ? error.message : error);
            this.show('welcome');
        };
    };

    /* The window says how it looks; a browser of the person's own follows the desktop. */
    const follow = () => {
        const wishes = new URLSearchParams(window.location.search);
        if (wishes.has('dark')) {
            window.qgui.dark(wishes.get('dark') === '1', `#${wishes.get('ground')}`);
        }
    };

    window.qgui = {
        /* Selects the nodes of the first layer that has some; says whether there is one. */
        select: (layers) => {
            document.querySelectorAll('#canvas g.node.select').forEach((element) => element.classList.remove('select'));
            for (const layer of layers) {
                const elements = nodesOf(layer);
                if (elements.length > 0) {
                    elements.forEach((element) => element.classList.add('select'));
                    const marked = elements.find((element) => element.querySelector('.qgui-mark')) || elements[0];
                    marked.scrollIntoView({ block: 'center', inline: 'center' });
                    return true;
                }
            }
            return false;
        },
        /* Takes mode and SQNR of every layer. */
        mark: (given) => {
            marks = given;
            rows.forEach(writeRow);
        },
        /* Makes the page dark or light, whatever the desktop is. */
        dark: (on, ground) => {
            for (const sheet of document.styleSheets) {
                for (const rule of sheet.cssRules) {
                    if (rule.media && (rule.qgui || rule.media.mediaText.includes('prefers-color-scheme: dark'))) {
                        rule.qgui = true;
                        rule.media.mediaText = on ? 'all' : 'not all';
                    }
                }
            }
            document.documentElement.style.colorScheme = on ? 'dark' : 'light';
            document.documentElement.classList.add('qgui-window');
            document.documentElement.classList.toggle('qgui-dark', on);
            document.documentElement.style.setProperty('--qgui-ground', ground);
        }
    };

    document.addEventListener('click', (event) => {
        const node = event.target instanceof Element ? event.target.closest('#canvas g.node[id]') : null;
        const layer = node ? layerOf(nameOf(node)) : '';
        if (layer) {
            say('chosen', { layer });
        }
    }, true);

    if (!window.exports || typeof window.exports.preload !== 'function') {
        fail('This version of Netron starts in another way.');
        return;
    }
    const preload = window.exports.preload;
    window.exports.preload = (callback) => preload(async (value, error) => {
        if (!error) {
            try {
                follow();
                const answer = await window.fetch('marks.json', { credentials: 'omit' });
                marks = await answer.json();
                adapt(await import(new URL('grapher.js', document.baseURI).href));
            } catch (problem) {
                error = problem;
            }
        }
        if (error) {
            fail(error.message);
        }
        callback(value, error);
    });
})();
