// `fdx connect` through proxies that others have written: tinyproxy (CONNECT), microsocks and dante (SOCKS5).
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { connect as dial } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { join } from 'node:path';
import { test } from 'node:test';
import { accepts, connect, freePort, listen, soon, start } from './lib/process.mjs';
import { certificates, folder } from './lib/tls.mjs';

const USER = 'aladdin';
const PASSWORD = 'open sesame';
const CREDENTIALS = `${USER}:${encodeURIComponent(PASSWORD)}@`;

/** Starts a proxy and returns its `host:port`. */
async function proxy(t, command, argsFor) {
  const port = await freePort();
  const program = start(t, command, await argsFor(port));
  await accepts(program, port);
  return `127.0.0.1:${port}`;
}

function tinyproxy(t, ...lines) {
  return proxy(t, 'tinyproxy', async (port) => {
    const path = join(await folder(t), 'tinyproxy.conf');
    const config = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 60', 'Allow 127.0.0.1', 'LogLevel Info', ...lines];
    await writeFile(path, `${config.join('\n')}\n`);
    return ['-d', '-c', path];
  });
}

function microsocks(t, ...args) {
  return proxy(t, 'microsocks', (port) => ['-i', '127.0.0.1', '-p', String(port), ...args]);
}

function dante(t) {
  return proxy(t, 'danted', async (port) => {
    const cwd = await folder(t);
    await chmod(cwd, 0o755);
    const path = join(cwd, 'danted.conf');
    const config = `
      logoutput: stderr
      internal: 127.0.0.1 port = ${port}
      external: lo
      clientmethod: none
      socksmethod: none
      user.privileged: root
      user.unprivileged: nobody
      client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
      socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 port 1024-65535 }
      socks block { from: 0.0.0.0/0 to: 0.0.0.0/0 }
    `;
    await writeFile(path, config);
    return ['-f', path, '-p', join(cwd, 'danted.pid')];
  });
}

/** TLS in front of another proxy, which is how an `https` proxy is made of one that knows none. */
async function behindTls(t, address, { cert, key }) {
  const [host, port] = address.split(':');
  const server = createTlsServer({ cert: await readFile(cert), key: await readFile(key) }, (secure) => {
    const plain = dial(Number(port), host);
    for (const [from, to] of [[secure, plain], [plain, secure]]) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  }).listen(0, '127.0.0.1');
  await soon(server, 'listening');
  t.after(() => server.close());
  return `localhost:${server.address().port}`;
}

async function echoes(t, url, ...args) {
  const big = 'x'.repeat(200_000);
  const client = await connect(t, [url, ...args], `through\n${big}\n`);
  assert.equal(client.result.code, 0, client.stderr);
  assert.equal(client.stdout, `through\n${big}\n`);
  assert.doesNotMatch(client.stderr, /sesame/);
}

async function refuses(t, code, pattern, url, ...args) {
  const client = await connect(t, [url, ...args], 'hello\n');
  assert.equal(client.result.code, code, client.stderr);
  assert.match(client.stderr, pattern);
  assert.doesNotMatch(client.stderr, /sesame/);
  assert.equal(client.stdout, '');
}

test('tinyproxy, ws and wss', async (t) => {
  const tls = await certificates(t);
  const plain = await listen(t, 'echo');
  const secure = await listen(t, 'echo', '--tls-cert', tls.cert, '--tls-key', tls.key);
  const address = await tinyproxy(t);
  await echoes(t, plain.ws, '--proxy', `http://${address}`);
  await echoes(t, secure.ws, '--ca', tls.ca, '--proxy', address);
});

test('tinyproxy with a password', async (t) => {
  const { ws } = await listen(t, 'echo');
  // Its configuration knows no quotes, so there is no space in this one.
  const address = await tinyproxy(t, `BasicAuth ${USER} opensesame`);
  await echoes(t, ws, '--proxy', `http://${USER}:opensesame@${address}`);
  await refuses(t, 4, /the proxy refused: 407 .*\n.*Proxy-Authenticate: Basic/, ws, '--proxy', `http://${address}`);
  await refuses(t, 4, /the proxy refused: 40[17]/, ws, '--proxy', `http://${USER}:wrong@${address}`);
});

test('tinyproxy says what it cannot reach and what it forbids', async (t) => {
  const { ws } = await listen(t, 'echo');
  const address = await tinyproxy(t, 'ConnectPort 443');
  await refuses(t, 4, /the proxy refused: 403/, ws, '--proxy', `http://${address}`);
  const open = await tinyproxy(t);
  const nobody = await freePort();
  await refuses(t, 4, /the proxy refused: 50\d/, `ws://127.0.0.1:${nobody}/`, '--proxy', `http://${open}`);
});

test('tinyproxy behind TLS, and TLS to the server inside it', async (t) => {
  const tls = await certificates(t);
  const plain = await listen(t, 'echo');
  const secure = await listen(t, 'echo', '--tls-cert', tls.cert, '--tls-key', tls.key);
  const address = await behindTls(t, await tinyproxy(t), tls);
  await echoes(t, plain.ws, '--ca', tls.ca, '--proxy', `https://${address}`);
  await echoes(t, secure.ws, '--ca', tls.ca, '--proxy', `https://${address}`);
  await refuses(t, 4, /no TLS with the proxy.*certificate/i, plain.ws, '--proxy', `https://${address}`);
});

test('microsocks, with names resolved here and there', async (t) => {
  const tls = await certificates(t);
  const { port } = await listen(t, 'echo', '--tls-cert', tls.cert, '--tls-key', tls.key);
  const address = await microsocks(t);
  for (const scheme of ['socks5', 'socks5h']) {
    await echoes(t, `wss://127.0.0.1:${port}`, '--ca', tls.ca, '--proxy', `${scheme}://${address}`);
    await echoes(t, `wss://localhost:${port}`, '--ca', tls.ca, '--proxy', `${scheme}://${address}`);
  }
  const nobody = await freePort();
  await refuses(t, 4, /refused the proxy's connection/, `ws://127.0.0.1:${nobody}/`, '--proxy', `socks5://${address}`);
});

test('microsocks with a password', async (t) => {
  const { ws } = await listen(t, 'echo');
  const address = await microsocks(t, '-u', USER, '-P', PASSWORD);
  await echoes(t, ws, '--proxy', `socks5h://${CREDENTIALS}${address}`);
  await refuses(t, 4, /user name and password/, ws, '--proxy', `socks5h://${address}`);
  await refuses(t, 4, /does not accept the user name/, ws, '--proxy', `socks5h://${USER}:wrong@${address}`);
});

test('dante, and its rules', async (t) => {
  const { ws } = await listen(t, 'echo');
  const address = await dante(t);
  await echoes(t, ws, '--proxy', `socks5://${address}`);
  await refuses(t, 4, /does not allow this connection/, 'ws://127.0.0.1:80/', '--proxy', `socks5://${address}`);
});
