// The server of 25-node.bats: HTTP on 8080; plain sockets on 8081 and 8082.
//
//   node server.mjs FILE [WORKERS]     with WORKERS, processes that get each connection from their parent (SCM_RIGHTS)
import cluster from 'node:cluster';
import http from 'node:http';
import net from 'node:net';
import fs from 'node:fs';

const workers = Number(process.argv[3] ?? 0);
if (cluster.isPrimary && workers) {
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  serve();
}

function serve() {
  const file = fs.readFileSync(process.argv[2]);

  http.createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/file') {
      response.end(file);
    } else if (request.method === 'POST' && request.url === '/echo') {
      request.pipe(response);
    } else if (request.url === '/bye') {
      request.socket.destroy();
    } else {
      response.writeHead(404, { 'Content-Type': 'text/plain', Connection: 'close' });
      response.end('not here\n'); // the body stays unread
    }
  }).listen(8080, '127.0.0.1');

  // What is sent is out, and that is it: input that nobody asked for stays unread.
  net.createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    socket.end(file, () => socket.destroy());
  }).listen(8081, '127.0.0.1');

  // end(): FIN, and node reads on until the other end has finished. That is a lingering close without a bound.
  net.createServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end(file);
  }).listen(8082, '127.0.0.1');
}
