import { badRequest, type Issue, limits, UsherError } from '@usher/contracts';
import type { z } from 'zod';
import type { ResolvedTopic } from './definitions.ts';

export interface PayloadLimits {
  readonly maxPayloadBytes: number;
  readonly maxStateBytes: number;
}

/** The JSON of a payload, checked once: everything behind it handles text. @throws UsherError BAD_REQUEST, PAYLOAD_TOO_LARGE */
function toJson(value: unknown, path: string, maxBytes: number): string {
  let json: string | undefined;
  if (isDeeperThan(limits.maxJsonDepth, value)) {
    throw badRequest(path, `Wanted JSON of at most ${limits.maxJsonDepth} levels`);
  }
  try {
    json = JSON.stringify(value);
  } catch (cause) {
    // A BigInt or a cycle; over HTTP nothing of the kind can arrive.
    const message = `Wanted JSON: ${cause instanceof Error ? cause.message.split('\n')[0] : 'not serialisable'}`;
    throw new UsherError('BAD_REQUEST', { message, issues: [{ path, message }], cause });
  }
  if (json === undefined) throw badRequest(path, `Wanted JSON: current value is a ${typeof value}`);
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) {
    throw new UsherError('PAYLOAD_TOO_LARGE', {
      message: `"${path}" has ${bytes} bytes; at most ${maxBytes} are taken`,
    });
  }
  return json;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/**
 * What is nested so deeply that JSON.stringify comes near the end of the stack holds up Bun for a second and fails under
 * Deno, at its publisher or at its readers. Each level is a set, so that a cycle comes to an end as well.
 */
function isDeeperThan(maxDepth: number, value: unknown): boolean {
  let level: Iterable<object> = isObject(value) ? [value] : [];
  for (let depth = 0; depth < maxDepth; depth += 1) {
    const next = new Set<object>();
    for (const parent of level) for (const child of Object.values(parent)) if (isObject(child)) next.add(child);
    if (next.size === 0) return false;
    level = next;
  }
  return true;
}

function parse(schema: z.ZodType, value: unknown, path: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues: Issue[] = parsed.error.issues.map((issue) => ({
    path: [path, ...issue.path.map(String)].join('.'),
    message: issue.message,
  }));
  throw new UsherError('BAD_REQUEST', {
    message: `The input is not valid: ${issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')}`,
    issues,
  });
}

/** An event's JSON tail, `"name":…,"data":…`. @throws UsherError BAD_REQUEST, PAYLOAD_TOO_LARGE */
export function eventTail(
  { definition }: ResolvedTopic,
  event: { readonly name: string; readonly data: unknown },
  path: string,
  limits: PayloadLimits,
): string {
  let { data } = event;
  if (definition.events !== 'any') {
    const schema = Object.hasOwn(definition.events, event.name) ? definition.events[event.name] : undefined;
    if (schema === undefined) {
      const names = Object.keys(definition.events).join(', ');
      throw badRequest(
        `${path}.name`,
        `Wanted an event of "${definition.name}" (${names}): current value is "${event.name}"`,
      );
    }
    data = parse(schema, data, `${path}.data`);
  }
  return `"name":${JSON.stringify(event.name)},"data":${toJson(data, `${path}.data`, limits.maxPayloadBytes)}`;
}

/** A state's JSON; `undefined` where none is given. @throws UsherError BAD_REQUEST, PAYLOAD_TOO_LARGE */
export function stateJson({ definition }: ResolvedTopic, state: unknown, limits: PayloadLimits): string | undefined {
  if (state === undefined) return undefined;
  return toJson(parse(definition.state, state, 'state'), 'state', limits.maxStateBytes);
}
