// The upstream: prints its port, then does what each path says.
import http from 'node:http'

// A stream of events, each sent when somebody asks for the next one.
const listeners = new Map()

function events(req, res) {
  const name = req.headers['x-stream']
  let id = Number(req.headers['last-event-id'] ?? 0)
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
  res.write(': hello\n\n')
  listeners.set(name, () => res.write(`id: ${++id}\ndata: event ${id}\n\n`))
  req.on('close', () => listeners.delete(name))
}

function next(req, res) {
  const send = listeners.get(req.headers['x-stream'])
  if (send) send()
  res.writeHead(send ? 204 : 404).end()
}

function count(req, res) {
  let octets = 0
  req.on('data', (chunk) => { octets += chunk.length })
  req.on('end', () => {
    res.writeHead(200, { Trailer: 'X-Octets' })
    res.write(JSON.stringify({ octets, headers: req.headers, trailers: req.rawTrailers }))
    res.addTrailers({ 'X-Octets': String(octets) })
    res.end()
  })
}

function download(req, res) {
  let left = Number(new URL(req.url, 'http://x').searchParams.get('octets'))
  const chunk = Buffer.alloc(1 << 18, 'wicketga')
  const more = () => {
    while (left > 0) {
      const piece = left < chunk.length ? chunk.subarray(0, left) : chunk
      left -= piece.length
      if (!res.write(piece)) return void res.once('drain', more)
    }
    res.end()
  }
  more()
}

const paths = { '/events': events, '/next': next, '/count': count, '/download': download }
const server = http.createServer((req, res) => {
  const path = paths[req.url.split('?')[0]]
  if (path) return path(req, res)
  res.writeHead(404).end()
})
server.requestTimeout = 0
// Who asks before sending is told yes, but for one path: no, and at once.
server.on('checkContinue', (req, res) => {
  if (req.url === '/full') return void res.writeHead(413, { 'Content-Length': 4 }).end('full')
  res.writeContinue()
  server.emit('request', req, res)
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
