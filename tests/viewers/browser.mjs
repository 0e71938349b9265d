// Opens files in viewers, in a Chromium without a window, and takes pictures of what they draw.
//
//     node browser.mjs <jobs.json >answers.json
//
// In: {chromium, modules, shared, jobs: [{page, width, height, patience, …}]}. Of each job, pages/PAGE.mjs gets all in `run(job)`; it may call
// `shoot(name)`, which writes the page's job.width × job.height pixels to SHARED/NAME. Out: for each job, in order,
// {answer} with what `run` returned, or {error}; and the lines that the page wrote to its console.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { extname, join, normalize } from 'node:path';
import { text } from 'node:stream/consumers';

const wanted = JSON.parse(await text(process.stdin));
const { chromium } = createRequire(join(wanted.modules, 'node_modules', 'x'))('playwright-core');
const FOLDERS = {
    '/pages/': join(fileURLToPath(new URL('.', import.meta.url)), 'pages'),
    '/node_modules/': join(wanted.modules, 'node_modules'),
    '/shared/': wanted.shared,
};
const TYPES = {
    '.html': 'text/html',
    '.mjs': 'text/javascript',
    '.js': 'text/javascript',
    '.css': 'text/css',
    '.json': 'application/json',
    '.wasm': 'application/wasm',
};

const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const folder = Object.keys(FOLDERS).find((name) => path.startsWith(name));
    const file = folder && join(FOLDERS[folder], path.slice(folder.length));
    if (!file || !existsSync(file) || !statSync(file).isFile()) {
        response.writeHead(404).end();
        return;
    }
    response.writeHead(200, {
        'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
        'Content-Length': statSync(file).size,
        'Cross-Origin-Opener-Policy': 'same-origin', // for memory that workers share
        'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    createReadStream(file).pipe(response);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const address = `http://127.0.0.1:${server.address().port}`;

const browser = await chromium.launch({
    executablePath: wanted.chromium,
    args: [
        '--no-sandbox', // Chromium refuses root otherwise
        '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', // nothing but the server above is reached
        '--use-angle=swiftshader', // WebGL2 without a graphics card, the same everywhere
        '--enable-unsafe-swiftshader',
        '--ignore-gpu-blocklist',
        '--force-color-profile=srgb',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
    ],
});
const answers = [];
for (const job of wanted.jobs) answers.push(await answer(job));
await browser.close();
server.close();
process.stdout.write(JSON.stringify(answers));

async function answer(job) {
    const page = await browser.newPage({ viewport: { width: job.width, height: job.height }, deviceScaleFactor: 1 });
    const lines = [];
    page.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => lines.push(`error: ${error.stack}`));
    await page.exposeFunction('shoot', (name) => page.screenshot({ path: join(wanted.shared, name) }).then(() => null));
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    try {
        await page.goto(`${address}/pages/index.html`);
        const late = new Promise((_, refuse) => setTimeout(() => refuse(new Error(`no answer in ${job.patience} s`)), job.patience * 1000).unref());
        const ended = page.evaluate(async (job) => (await import(`./${job.page}.mjs`)).run(job), job);
        return { answer: (await Promise.race([ended, late])) ?? null, lines, seconds: seconds() };
    } catch (error) {
        return { error: String(error.stack ?? error), lines, seconds: seconds() };
    } finally {
        await page.close();
    }
}
