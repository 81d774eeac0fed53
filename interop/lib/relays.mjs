// The samples in packaging/ for proxies in front of the hub, as Debian's nginx, haproxy and Caddy read them: TLS ends there.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, accepts, freePort, start } from './process.mjs';
import { folder } from './tls.mjs';

/** A sample with other places and names in it; each has to be there. */
export async function sample(name, changes) {
  let text = await readFile(`${ROOT}packaging/${name}`, 'utf8');
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${name} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const none = { nginx: [], haproxy: [] };

/** Each starts one before a hub, with what more is changed in the samples, and returns its port. */
export async function nginx(t, hub, tls, changes = none) {
  const port = await freePort();
  const cwd = await folder(t);
  const server = await sample('nginx/fullduplex.conf', [
    ['127.0.0.1:8080', `127.0.0.1:${hub.port}`],
    ['listen 443', `listen 127.0.0.1:${port}`],
    ['chat.example.com;', 'localhost;'],
    ['/etc/ssl/chat.example.com.pem', tls.cert],
    ['/etc/ssl/chat.example.com.key', tls.key],
    ...changes.nginx,
  ]);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((of) => `${of}_temp_path ${cwd}/${of};`);
  const config = join(cwd, 'nginx.conf');
  await writeFile(config, `
    pid ${cwd}/nginx.pid;
    error_log stderr;
    events {}
    http { access_log off; ${paths.join(' ')} ${server} }
  `);
  await accepts(start(t, 'nginx', ['-c', config, '-p', cwd, '-g', 'daemon off; master_process off;']), port);
  return port;
}

export async function haproxy(t, hub, tls, changes = none) {
  const port = await freePort();
  const cwd = await folder(t);
  const pem = join(cwd, 'both.pem');
  await writeFile(pem, (await readFile(tls.cert, 'utf8')) + (await readFile(tls.key, 'utf8')), { mode: 0o600 });
  const config = join(cwd, 'haproxy.cfg');
  const text = await sample('haproxy/haproxy.cfg', [
    ['127.0.0.1:8080', `127.0.0.1:${hub.port}`],
    ['bind :443', `bind 127.0.0.1:${port}`],
    ['maxconn 20000', 'maxconn 100'],
    ['/etc/haproxy/chat.example.com.pem', pem],
    ...changes.haproxy,
  ]);
  await writeFile(config, text);
  await accepts(start(t, 'haproxy', ['-db', '-f', config]), port);
  return port;
}

export async function caddy(t, hub, tls) {
  const port = await freePort();
  const cwd = await folder(t);
  const config = join(cwd, 'Caddyfile');
  const server = await sample('caddy/Caddyfile', [
    ['127.0.0.1:8080', `127.0.0.1:${hub.port}`],
    ['chat.example.com {', `localhost:${port} {\nbind 127.0.0.1\ntls ${tls.cert} ${tls.key}`],
  ]);
  await writeFile(config, `{\nadmin off\nauto_https disable_redirects\n}\n${server}`);
  // It keeps its files in the home folder that it is told of.
  const env = { ...process.env, HOME: cwd, XDG_DATA_HOME: cwd, XDG_CONFIG_HOME: cwd };
  await accepts(start(t, 'caddy', ['run', '--adapter', 'caddyfile', '--config', config], { env }), port);
  return port;
}
