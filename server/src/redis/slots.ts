/** Slots of a Redis Cluster. */
export const slotCount = 16_384;

/** A stretch of slots and the primary that has it. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly host: string;
  readonly port: number;
}

const encoder = new TextEncoder();

/** The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it where it has none. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  // An empty tag `{}` is no tag.
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of encoder.encode(hashed)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc % slotCount;
}

/** Reads CLUSTER SLOTS. A node that does not know its own name leaves the host empty: it is the one that was asked. */
export function parseSlots(reply: unknown, askedHost: string): readonly SlotRange[] {
  if (!Array.isArray(reply)) throw new Error('CLUSTER SLOTS gave no list');
  return reply.map((entry: unknown) => {
    const [from, to, primary] = entry as [unknown, unknown, readonly unknown[]];
    const [host, port] = primary;
    return { from: Number(from), to: Number(to), host: String(host || askedHost), port: Number(port) };
  });
}
