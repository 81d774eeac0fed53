// The npm package `ws` as a peer, with messages and the end of a connection as promises.
import { createServer } from 'node:https';
import { WebSocket, WebSocketServer } from 'ws';
import { SOON, soon } from './process.mjs';

/** Rejects after a while, naming what was waited for. */
export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${SOON} ms: ${what}`)), SOON);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Messages in arrival order and how the connection ended. */
export class Peer {
  #messages = [];
  #waiting = [];
  /** Resolves to `{ code, reason }`. */
  closed;
  pongs = [];

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data, binary) => {
      const message = binary ? data : data.toString();
      const next = this.#waiting.shift();
      if (next) next.resolve(message);
      else this.#messages.push(message);
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        const end = { code, reason: reason.toString() };
        for (const { reject } of this.#waiting) reject(new Error(`closed with ${JSON.stringify(end)}`));
        this.#waiting = [];
        resolve(end);
      });
    });
  }

  /** The next message: a string for text, a Buffer for binary. */
  next() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    return within(new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })), 'a message');
  }

  /** The next message, parsed. */
  async json() {
    return JSON.parse(await this.next());
  }

  /** Sends and returns the answer. */
  ask(message) {
    this.socket.send(message);
    return this.next();
  }

  /** How the connection ended. */
  end() {
    return within(this.closed, 'the end of the connection');
  }

  /** Ends the connection from here. */
  close(code, reason) {
    this.socket.close(code, reason);
    return this.end();
  }
}

/** Connects; the test `t` cuts what is left of it. */
export async function dial(t, url, protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, options);
  t.after(() => socket.terminate());
  const peer = new Peer(socket);
  socket.on('error', (error) => (peer.error = error));
  await within(
    new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    }),
    `an open connection to ${url}`,
  );
  return peer;
}

/** Tries to connect and returns the refusal `{ status, headers, body }`. */
export async function refused(url, protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, options);
  socket.on('error', () => {}); // `ws` reports the refusal as an error too
  const [, response] = await soon(socket, 'unexpected-response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

/** A `ws` server on a free port. `handler(peer, request)` runs for each connection. */
export async function serve(t, handler, { tls, ...options } = {}) {
  const http = tls && createServer(tls);
  const server = new WebSocketServer(http ? { server: http, ...options } : { host: '127.0.0.1', port: 0, ...options });
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    http?.close();
  });
  server.on('connection', (socket, request) => {
    socket.on('error', () => {}); // seen as the close that follows
    handler(new Peer(socket), request);
  });
  if (http) http.listen(0, '127.0.0.1');
  await soon(http ?? server, 'listening');
  const { port } = (http ?? server).address();
  return { port, url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}` };
}
