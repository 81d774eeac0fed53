// Go's golang.org/x/net/websocket and gorilla/websocket, as Debian packages them, against `fdx`.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, connect, listen, run, start } from './lib/process.mjs';
import { dial } from './lib/ws.mjs';
import { folder } from './lib/tls.mjs';

/** Builds one of the programs in `go/` from the sources that Debian installs; nothing is fetched. */
async function build(t, name) {
  const out = await folder(t);
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: `${ROOT}.check/go`, GOFLAGS: '' };
  await run(t, 'go', ['build', '-o', join(out, name), `./${name}`], { cwd: `${ROOT}interop/go`, env });
  return join(out, name);
}

test('the tutorial’s client gets its message back from fdx echo and fdx serve', async (t) => {
  const client = await build(t, 'echo_client');
  for (const [command, path] of [['echo', '/echo'], ['serve', '/echo']]) {
    const server = await listen(t, command, '--allow-origin', 'http://localhost/');
    const { stdout } = await run(t, client, [server.ws + path, 'hello world!']);
    assert.equal(stdout, 'Received: hello world!.\n');
    // It leaves without a Close. That is no more than one quiet line, and the next client is served.
    const peer = await dial(t, server.ws + path);
    assert.equal(await peer.ask('next'), 'next');
    assert.doesNotMatch(server.output, /error|panic/i);
  }
});

test('the tutorial’s client is refused while its origin is not allowed', async (t) => {
  const client = await build(t, 'echo_client');
  const { ws } = await listen(t, 'echo');
  const refused = start(t, client, [`${ws}/echo`, 'hello world!']);
  assert.equal((await refused.exit()).code, 1);
  assert.match(refused.stderr, /bad status/);
});

test('fdx connect talks to the tutorial’s server, which wants an Origin and ends without a Close', async (t) => {
  const server = start(t, await build(t, 'echo_server'), []);
  const [, url] = await server.match(/^listening on (\S+)$/m);
  const client = await connect(t, [url, '--origin', 'http://localhost/'], 'hello world!\nand again\n');
  assert.equal(client.stdout, 'hello world!\nand again\n');
  assert.equal(client.result.signal, null);
  assert.match((await connect(t, [url], 'hello\n')).stderr, /403/);
});

test('a gorilla client echoes, pings and closes with fdx echo and fdx serve', async (t) => {
  const client = await build(t, 'gorilla_client');
  for (const [command, path] of [['echo', '/'], ['serve', '/echo']]) {
    const { ws } = await listen(t, command);
    const { stdout } = await run(t, client, [ws + path]);
    assert.equal(stdout, 'pong nil is not all\nclosed 1000\n');
  }
});
