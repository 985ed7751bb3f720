import { pause } from '../call.ts';
import type { Fault } from './fault.ts';

/** Together more than the kernel's buffers and a server's limit for one connection. */
const bulkRequests = 16;
const bulkEvents = 16;
const bulkBytes = 48_000;

/** Readers that stop reading while a lot is sent to them. */
export const stallReaders: Fault = async ({ crowd, bulk, random, signal }) => {
  const { network } = crowd;
  network.hold();
  const data = { pad: 'x'.repeat(bulkBytes) };
  const events = Array.from({ length: bulkEvents }, () => ({ name: 'large', data }));
  for (let request = 0; request < bulkRequests && !signal.aborted; request += 1) {
    await bulk.publisher.publish({ topic: bulk.topic, events });
  }
  await pause(random.int(500, 4_000), signal);
  const drops = random.chance(0.5);
  if (drops) network.drop();
  network.pass();
  const mb = (bulkRequests * bulkEvents * bulkBytes) / 1_000_000;
  return { note: `some readers stopped while ${mb.toFixed(0)} MB were sent${drops ? ', then dropped' : ''}` };
};

/** A network that dies without a word: neither side hears of it. */
export const halfOpen: Fault = async ({ crowd, random, signal }) => {
  const ms = random.int(4_000, 9_000);
  const everywhere = random.chance(0.5);
  const networks = everywhere ? [crowd.network, crowd.balancer] : [crowd.network];
  for (const network of networks) network.hold();
  await pause(ms, signal);
  for (const network of networks) {
    network.drop();
    network.pass();
  }
  return { note: `connections without a peer for ${ms} ms${everywhere ? ', typed clients among them' : ''}` };
};

export const storm: Fault = async ({ crowd }) => {
  crowd.cutAll();
  return { note: 'every socket lost at once' };
};
