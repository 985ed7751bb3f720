/**
 * The control of the fan-out bench: the least a Bun server can do that takes events over HTTP and gives them to everyone
 * who is connected. No tickets, no log, no Redis, no ids.
 */
interface Burst {
  readonly events: readonly unknown[];
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  async fetch(request, self) {
    if (self.upgrade(request)) return undefined;
    const { events } = (await request.json()) as Burst;
    for (const event of events) self.publish('everyone', JSON.stringify(event));
    return Response.json({ published: events.length });
  },
  websocket: {
    open(ws) {
      ws.subscribe('everyone');
    },
    message: () => {},
  },
});
console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${server.port}` }));
