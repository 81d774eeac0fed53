// ws with bufferutil: `node server.mjs MODE [PORT]`. It writes each message by itself, and compresses on a pool of threads.
import { WebSocketServer } from 'ws';

const [mode, port = '0'] = process.argv.slice(2);
if (!['echo', 'large', 'deflate', 'broadcast'].includes(mode)) {
  console.error('server.mjs echo|large|deflate|broadcast [PORT]');
  process.exit(2);
}

const perMessageDeflate = mode === 'deflate' && {
  threshold: 0,
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
};
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port), backlog: 1024, perMessageDeflate });

server.on('listening', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
server.on('connection', (socket) => {
  // A connection that breaks is the generator's to report.
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    if (mode === 'broadcast') {
      for (const client of server.clients) client.send(data, { binary });
    } else {
      socket.send(data, { binary });
    }
  });
});
