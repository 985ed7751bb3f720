import { describe, expect, test } from 'bun:test';
import { createLog, flushLog } from './log.ts';

function setUp(level?: 'debug') {
  const lines: string[] = [];
  const log = createLog({
    sink: { write: (line) => lines.push(line) },
    fields: { instanceId: 'i-1' },
    ...(level && { level }),
  });
  return { lines, log, parsed: () => lines.map((line) => JSON.parse(line)) };
}

describe('createLog()', () => {
  test('writes one JSON object a line, with the level as a word', () => {
    const { log, lines, parsed } = setUp();
    log.info({ url: 'http://127.0.0.1:8787' }, 'listening');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toEndWith('}\n');
    expect(parsed()[0]).toMatchObject({
      level: 'info',
      msg: 'listening',
      url: 'http://127.0.0.1:8787',
      instanceId: 'i-1',
      pid: process.pid,
    });
  });

  test('writes nothing below its level', () => {
    const { log, lines } = setUp();
    log.debug('quiet');
    expect(lines).toEqual([]);
    const debugging = setUp('debug');
    debugging.log.debug('heard');
    expect(debugging.lines).toHaveLength(1);
  });

  test('puts the traceId of a child into each of its lines', () => {
    const { log, parsed } = setUp();
    log.child({ traceId: 't-1' }).warn('one');
    expect(parsed()[0]).toMatchObject({ traceId: 't-1', level: 'warn' });
  });

  test('writes no ticket, token or cookie, be it in a field, a message, an error or a child', () => {
    const { log, lines } = setUp();
    log.info({ ticket: 'planted', headers: { authorization: 'Bearer planted-1', cookie: 'a=planted' } }, 'ut1_planted');
    log.error({ err: new Error('refused /ws?ticket=planted', { cause: new Error('Bearer planted-2') }) });
    log.child({ token: 'planted' }).info('child');
    expect(lines).toHaveLength(3);
    expect(lines.join('')).not.toContain('planted');
  });
});

const script = (body: string) => `
  import { createLog, flushLog } from '${import.meta.dir}/log.ts';
  const log = createLog();
  ${body}
`;

describe('createLog() on standard output', () => {
  const run = (body: string) =>
    Bun.spawn([process.execPath, '-e', script(body)], { stdout: 'pipe', stderr: 'inherit' });

  /** Runs it with a reader behind a real pipe, which does `reader` once it is let; `said` is what it says on stderr. */
  function runUnread(body: string, reader: string) {
    const pipeline = `exec 3<&0; { "$0" -e "$1" </dev/null; echo "exit $?" >&2; } | { read go <&3; ${reader}; }`;
    const child = Bun.spawn(['sh', '-c', pipeline, process.execPath, script(body)], {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const said = child.stderr.getReader();
    return {
      said: async () => new TextDecoder().decode((await said.read()).value).trim(),
      letRead: () => {
        child.stdin.write('go\n');
        child.stdin.flush();
      },
      text: () => new Response(child.stdout).text(),
    };
  }

  test('writes lines in order, and all of them before flushLog() resolves', async () => {
    const child = run(`for (let i = 0; i < 2000; i += 1) log.info({ i }, 'x'); await flushLog(log); process.exit(0);`);
    const lines = (await new Response(child.stdout).text()).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).i)).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
  });

  test('writes the last words of a process that ends in the same tick', async () => {
    const text = await new Response(run(`log.info('before'); log.fatal('last words'); process.exit(1);`).stdout).text();
    expect(text).toContain('"msg":"before"');
    expect(text).toContain('"msg":"last words"');
  });

  test('neither stops the process nor grows without end while nobody reads, and counts what it drops', async () => {
    const child = runUnread(
      `
        for (let i = 0; i < 3000; i += 1) {
          log.info({ padding: 'x'.repeat(1000) }, 'flood');
          await new Promise((resolve) => setImmediate(resolve));
        }
        process.stderr.write('turns\\n');
        await flushLog(log, { timeoutMs: 20_000 });
        process.exit(0);
      `,
      'cat',
    );
    expect(await child.said()).toBe('turns');
    child.letRead();
    const lines = (await child.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const flood = lines.filter((line) => line.msg === 'flood').length;
    const dropped = lines.reduce((sum, line) => sum + (line.droppedLines ?? 0), 0);
    expect(dropped).toBeGreaterThan(0);
    expect(flood + dropped).toBe(3_000);
  });

  test('lets the process end when nobody ever reads', async () => {
    const child = runUnread(
      `
        for (let i = 0; i < 500; i += 1) log.info({ padding: 'x'.repeat(1000) }, 'flood');
        await flushLog(log, { timeoutMs: 20 });
        process.exit(7);
      `,
      'true',
    );
    expect(await child.said()).toBe('exit 7');
    child.letRead();
  });

  test('has not flushed what is on its way', async () => {
    const child = runUnread(
      `
        const turns = async () => { for (let i = 0; i < 100; i += 1) await new Promise((resolve) => setImmediate(resolve)); };
        log.info({ padding: 'x'.repeat(200_000) }, 'more than a pipe holds');
        await turns();
        let flushed = false;
        const flushing = flushLog(log, { timeoutMs: 20_000 }).then(() => (flushed = true));
        await turns();
        process.stderr.write(String(flushed));
        await flushing;
        process.exit(0);
      `,
      'cat',
    );
    expect(await child.said()).toBe('false');
    child.letRead();
    expect(JSON.parse(await child.text()).padding).toHaveLength(200_000);
  });

  test('lives on when the reader has gone', async () => {
    const child = runUnread(
      `
        process.stderr.write('runs\\n');
        for (let i = 0; i < 500; i += 1) {
          log.info({ padding: 'x'.repeat(9000) }, 'x');
          await flushLog(log);
        }
        process.exit(8);
      `,
      'true',
    );
    expect(await child.said()).toBe('runs');
    child.letRead();
    expect(await child.said()).toBe('exit 8');
  });
});

test('flushLog() resolves for a sink that cannot flush', async () => {
  const { log } = setUp();
  log.info('x');
  await flushLog(log, { timeoutMs: 1 });
});
