// The page of metrics, as Prometheus' own tool judges it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { connect, listen } from './lib/process.mjs';

test('promtool finds nothing to say about the metrics of a server in use', async (t) => {
  const { url, ws } = await listen(t, 'serve');
  await connect(t, [`${ws}/echo`], 'one\ntwo\n');
  await connect(t, [`${ws}/ws?mode=text`], 'hello\n');
  const answer = await fetch(`${url}/metrics`);
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const page = await answer.text();
  assert.match(page, /^fdx_messages_received_total\{kind="echo"\} 2$/m);
  const judged = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8', timeout: 30_000 });
  assert.deepEqual([judged.status, judged.stdout + judged.stderr], [0, '']);
});
