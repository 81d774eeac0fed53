// Socket.IO's chat, in memory: all are in one room, what one says goes to all of it, and is then acknowledged. With what its documentation
// advises for speed and memory: bufferutil, WebSocket alone, and no request kept with a connection.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { transports: ['websocket'], pingInterval: 20_000, serveClient: false });

io.engine.on('connection', (connection) => {
  connection.request = null;
});
io.on('connection', (socket) => {
  socket.join('bench');
  socket.on('msg', (body, acknowledge) => {
    io.to('bench').emit('msg', body);
    acknowledge();
  });
});
http.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => console.log(`listening on 127.0.0.1:${http.address().port}`));
