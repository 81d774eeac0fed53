// A TCP relay before a server, whose connections can be cut and which can refuse new ones: a network that fails.
import { connect, createServer } from 'node:net';
import { soon } from './process.mjs';

/** Relays a free port to `target`. */
export async function relay(t, target) {
  const sockets = new Set();
  let refusing = false;
  let answering = true;

  const pass = (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // seen as the close that follows
    socket.on('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    if (refusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(target, '127.0.0.1');
    pass(near);
    pass(far);
    near.pipe(far);
    far.on('data', (data) => answering && near.write(data));
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await soon(server, 'listening');

  return {
    http: `http://127.0.0.1:${server.address().port}`,
    /** Ends every connection and refuses new ones. */
    cut() {
      refusing = true;
      cut();
    },
    /** Nothing of what the server says comes through any more; what is said to it does. */
    deafen() {
      answering = false;
    },
    /** Everything works again. */
    restore() {
      refusing = false;
      answering = true;
    },
  };
}
