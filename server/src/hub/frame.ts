import type { Entry } from '../topics/log.ts';
import { partsOf } from '../topics/position.ts';

/** An item as it travels: its tRPC id and its JSON. Serialised once, whoever reads it. */
export interface RawItem {
  readonly id: string;
  readonly json: string;
}

/** The JSON of a logged event: position and time come from its id, the rest is the log's own text. */
export const eventJson = (entry: Entry): string =>
  `{"position":"${entry.position}","at":${partsOf(entry.position).ms},${entry.tail}}`;

/** The item of a logged event; its id is its position. */
export const eventItem = (entry: Entry): RawItem => ({
  id: entry.position,
  json: `{"type":"event","event":${eventJson(entry)}}`,
});

/** What all frames of one item share: everything after the request's id. */
export const frameTail = (item: RawItem): string =>
  `,"result":{"type":"data","id":"${item.id}","data":{"id":"${item.id}","data":${item.json}}}}`;

/** A whole frame for one request: tRPC's tracked envelope [wire.md, WebSocket]. */
export const frameFor = (requestId: number | string, tail: string): string =>
  typeof requestId === 'number' ? `{"id":${requestId}${tail}` : `{"id":${JSON.stringify(requestId)}${tail}`;
