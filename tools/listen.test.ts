// Serving others: what is typed, certificates, what is said. The server itself is in serve.test.ts.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { selfSigned } from './certificate.testing';
import {
  addressOf,
  bindAddress,
  hostsOf,
  isLocal,
  parseListen,
  parsePort,
  remarks,
} from './listen.mjs';

const project = resolve(import.meta.dirname, '..');
const room = selfSigned(['room.test', '192.0.2.7', 'localhost', '127.0.0.1']);
const other = selfSigned(['room.test']);

let place = '';
const path = (name: string) => join(place, name);
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'retort-listen-'));
  writeFileSync(path('index.html'), '<p>start</p>');
  writeFileSync(path('cert.pem'), room.cert);
  writeFileSync(path('key.pem'), room.key);
  writeFileSync(path('chain.pem'), room.cert + other.cert);
  writeFileSync(path('other.pem'), other.key);
  writeFileSync(path('text.pem'), 'no PEM');
  writeFileSync(path('cut.pem'), room.cert.slice(0, 200));
  writeFileSync(path('cut-key.pem'), room.key.slice(0, 60));
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  writeFileSync(path('locked.pem'), room.privateKey.export(locked));
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(path('rsa.pem'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
});
afterAll(() => rmSync(place, { recursive: true }));

test('certificates of tests are what Node takes for certificates', () => {
  const read = new X509Certificate(room.cert);
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.subjectAltName).toBe(
    'DNS:room.test, IP Address:192.0.2.7, DNS:localhost, IP Address:127.0.0.1',
  );
  expect(read.validTo).toContain('2099');
});

test('a port is a number', () => {
  expect(parsePort('8080')).toBe(8080);
  expect(() => parsePort('80a')).toThrow('PORT must be a number');
  expect(() => parsePort('70000', true)).toThrow('--port must be a number');
});

describe('what is typed', () => {
  test('is read with its files', async () => {
    const typed = ['--host', 'room.test', '--https', path('cert.pem'), path('key.pem')];
    const { listen } = await parseListen([...typed, '--port', '8443'], {});
    expect(listen).toEqual({
      host: 'room.test',
      port: 8443,
      tls: { cert: room.cert, key: room.key },
    });
    const files = [path('chain.pem'), path('key.pem')];
    expect((await parseListen(['--https', ...files], {})).listen.tls?.cert).toBe(
      room.cert + other.cert,
    );
    expect((await parseListen([], {})).listen).not.toHaveProperty('host');
  });

  test.each<[string, () => string[], string]>([
    ['one file', () => ['--https', path('cert.pem')], '--https takes two files'],
    ['no file', () => ['--https'], "Option '--https <value>' argument missing. --help"],
    [
      'an option between',
      () => ['--https', path('cert.pem'), '--host', 'a', path('key.pem')],
      '--https takes two files',
    ],
    [
      'three files',
      () => ['--https', path('cert.pem'), path('key.pem'), 'x'],
      '"x" is no option. --help',
    ],
    [
      'no such file',
      () => ['--https', path('none.pem'), path('key.pem')],
      'none.pem cannot be read.',
    ],
    [
      'no such key',
      () => ['--https', path('cert.pem'), path('none.pem')],
      'none.pem cannot be read.',
    ],
    ['a folder', () => ['--https', place, path('key.pem')], 'cannot be read.'],
    ['a text', () => ['--https', path('text.pem'), path('key.pem')], 'text.pem is no certificate'],
    [
      'a text as key',
      () => ['--https', path('cert.pem'), path('text.pem')],
      'text.pem is no key: a PEM file',
    ],
    [
      'swapped files',
      () => ['--https', path('key.pem'), path('cert.pem')],
      'key.pem is a key: the certificate comes first',
    ],
    [
      'a cut certificate',
      () => ['--https', path('cut.pem'), path('key.pem')],
      'cut.pem cannot be used as a certificate',
    ],
    [
      'a cut key',
      () => ['--https', path('cert.pem'), path('cut-key.pem')],
      'cut-key.pem cannot be used as a key',
    ],
    [
      'a locked key',
      () => ['--https', path('cert.pem'), path('locked.pem')],
      'locked.pem is locked with a passphrase',
    ],
    [
      'the key of another',
      () => ['--https', path('cert.pem'), path('other.pem')],
      'other.pem is not the key of',
    ],
    [
      'a key of another kind',
      () => ['--https', path('cert.pem'), path('rsa.pem')],
      'rsa.pem is not the key of',
    ],
    ['an address as host', () => ['--host', 'https://room.test/'], '--host takes a name'],
    ['a port with the host', () => ['--host', 'room.test:80'], '--host takes a name'],
    ['no host', () => ['--host', ''], '--host takes a name'],
    ['a port of letters', () => ['--port', 'x'], '--port must be a number'],
    ['an option of nobody', () => ['--hots', 'x'], "Unknown option '--hots'"],
  ])('%s is one line', async (_, args, words) => {
    const refused: unknown = await parseListen(args(), {}).catch((error: unknown) => error);
    expect(refused).toMatchObject({ name: 'ListenError' });
    const { message } = refused as Error;
    expect(message).toContain(words);
    expect(message).not.toContain('\n');
  });

  test.each(['tools/start.mjs', 'tools/serve.mjs'])('ends %s with exit 2', (script) => {
    const args = [script, '--https', path('cert.pem'), path('other.pem')];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: project,
      encoding: 'utf8',
    });
    const key = `${path('other.pem')} is not the key of ${path('cert.pem')}.\n`;
    expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: '', stderr: key });
  });

  test.each(['tools/start.mjs', 'tools/serve.mjs'])('%s --help lists it', (script) => {
    const { status, stdout } = spawnSync(process.execPath, [script, '--help'], {
      cwd: project,
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    for (const option of ['--host NAME', '--https CERT KEY', '--port NUMBER']) {
      expect(stdout).toContain(option);
    }
  });
});

test('a name is listened to everywhere, an address as it is', () => {
  expect(bindAddress(undefined)).toBe('127.0.0.1');
  expect(bindAddress('0.0.0.0')).toBe('0.0.0.0');
  expect(bindAddress('192.0.2.7')).toBe('192.0.2.7');
  expect(bindAddress('room.test')).toBeUndefined();
  expect(bindAddress('localhost')).toBe('localhost');
});

test('what others type has this machine’s addresses and the certificate’s names', () => {
  const own = ['192.0.2.7', '2001:db8::7'];
  expect(hostsOf({}, own)).toEqual(['127.0.0.1']);
  expect(hostsOf({ host: 'room.test' }, own)).toEqual(['room.test']);
  expect(hostsOf({ host: '0.0.0.0' }, own)).toEqual(['192.0.2.7', 'localhost']);
  expect(hostsOf({ host: '::' }, own)).toEqual([...own, 'localhost']);
  expect(hostsOf({ host: '0.0.0.0', tls: room }, own)).toEqual([
    'room.test',
    '192.0.2.7',
    'localhost',
  ]);
  expect(addressOf('2001:db8::7', 4173, true, '/')).toBe('https://[2001:db8::7]:4173/');
});

test.each([
  ['localhost', true],
  ['a.localhost', true],
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['::1', true],
  ['0.0.0.0', false],
  ['192.0.2.7', false],
  ['127.example.org', false],
  ['notlocalhost', false],
])('is %s this machine: %s', (host, expected) => {
  expect(isLocal(host)).toBe(expected);
});

describe('what is said', () => {
  test('nothing, where browsers will not mind', () => {
    expect(remarks({}, ['127.0.0.1'])).toEqual([]);
    expect(remarks({ host: 'localhost' }, ['localhost'])).toEqual([]);
    const hosts = ['room.test', '192.0.2.7', 'localhost'];
    expect(remarks({ host: '0.0.0.0', tls: room }, hosts)).toEqual([]);
  });

  test('what plain http lacks, and what to do', () => {
    const lines = remarks({ host: '192.0.2.7' }, ['192.0.2.7']);
    expect(lines).toHaveLength(2);
    expect(lines.join(' ')).toMatch(/WebGPU.*OPFS.*service workers.*--https CERT KEY.*README/);
  });

  test('that nobody else can come', () => {
    expect(remarks({ host: '0.0.0.0' }, ['localhost'])).toEqual([
      'This machine has no address on a network: nobody else can reach it.',
    ]);
  });

  test('names and days that a certificate does not have', () => {
    expect(remarks({ host: 'elsewhere.test', tls: room }, ['elsewhere.test', '192.0.2.8'])).toEqual(
      ['The certificate does not name elsewhere.test, 192.0.2.8: browsers will warn there.'],
    );
    const late = { host: 'room.test', tls: room };
    expect(remarks(late, ['room.test'], new Date('2100-01-01'))).toEqual([
      'The certificate ended on 2099-01-01: browsers will warn.',
    ]);
    expect(remarks(late, ['room.test'], new Date('2019-01-01'))).toEqual([
      'The certificate begins on 2020-01-01 only: browsers will warn.',
    ]);
  });
});

describe('node tools/serve.mjs', () => {
  let server: ChildProcess | null = null;
  afterAll(() => server?.kill());

  const outside = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

  /** What it says, up to a line that has `last` in it. */
  function start(args: string[], last: string): Promise<string[]> {
    const child = spawn(
      process.execPath,
      ['tools/serve.mjs', '--root', place, '--port', '0', ...args],
      { cwd: project },
    );
    server?.kill();
    server = child;
    return new Promise((done, fail) => {
      let text = '';
      child.stdout.on('data', (piece: Buffer) => {
        text += String(piece);
        const lines = text.split('\n').slice(0, -1);
        if (lines.some((line) => line.includes(last))) done(lines);
      });
      child.stderr.on('data', (piece: Buffer) => fail(new Error(String(piece))));
      child.on('exit', () => fail(new Error(`It ended: ${text}`)));
    });
  }

  const fetchPage = (url: string, options: { ca?: string; servername?: string }) =>
    new Promise<string>((done, fail) => {
      get(url, options, (answer) => {
        let text = '';
        answer.on('data', (piece: Buffer) => (text += String(piece)));
        answer.on('end', () => done(text));
      }).on('error', fail);
    });

  test('serves a room over https, at the names of its certificate', async () => {
    const files = [path('cert.pem'), path('key.pem')];
    const [ready, ...lines] = await start(
      ['--host', '0.0.0.0', '--https', ...files],
      outside === undefined ? 'nobody else' : `not name ${outside}`,
    );
    expect(ready).toBe('Retort is ready at');
    const urls = lines.filter((line) => line.startsWith('  ')).map((line) => new URL(line.trim()));
    expect(urls[0]!.hostname).toBe('room.test');
    const { port } = urls[0]!;
    const trusted = { ca: room.cert };
    expect(await fetchPage(`https://127.0.0.1:${port}/`, trusted)).toBe('<p>start</p>');
    // As a machine that knows the name would.
    const named = { ...trusted, servername: 'room.test' };
    expect(await fetchPage(`https://127.0.0.1:${port}/`, named)).toBe('<p>start</p>');
    await expect(fetchPage(`https://127.0.0.1:${port}/`, {})).rejects.toThrow('self-signed');
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
    if (outside !== undefined) {
      expect(urls.map(({ hostname }) => hostname)).toContain(outside);
      expect(lines.at(-1)).toContain(`does not name ${outside}`);
      const asked = { ...trusted, servername: 'room.test' };
      expect(await fetchPage(`https://${outside}:${port}/`, asked)).toBe('<p>start</p>');
    }
  });

  test.runIf(outside !== undefined)('lets others in by an address, and says the rest', async () => {
    const [ready, lack, advice] = await start(['--host', outside!], '--https CERT KEY');
    const url = ready!.replace('Retort is ready at ', '');
    expect(new URL(url).hostname).toBe(outside);
    expect(await (await fetch(url)).text()).toBe('<p>start</p>');
    expect(lack).toContain('plain http');
    expect(advice).toContain('--https CERT KEY');
  });

  test('answers this machine only where nobody was named', async () => {
    const [ready, ...more] = await start([], 'ready');
    expect(more).toEqual([]);
    const url = new URL(ready!.replace('Retort is ready at ', ''));
    expect(await (await fetch(url)).text()).toBe('<p>start</p>');
    if (outside !== undefined) {
      url.hostname = outside;
      await expect(fetch(url)).rejects.toThrow();
    }
  });

  test('an address of somebody else is one line', () => {
    // TEST-NET-3 is nobody's.
    const args = ['tools/serve.mjs', '--root', place, '--port', '0', '--host', '203.0.113.1'];
    const { status, stderr } = spawnSync(process.execPath, args, {
      cwd: project,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        '203.0.113.1 is no address of this machine. Choose one that is, or --host 0.0.0.0 for all of them.\n',
    });
  });
});
