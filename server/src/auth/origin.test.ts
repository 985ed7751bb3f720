import { describe, expect, test } from 'bun:test';
import { createOriginPolicy } from './origin.ts';

const isAllowed = createOriginPolicy(['https://app.example', 'capacitor://localhost']);

describe('createOriginPolicy()', () => {
  for (const [origin, url, expected] of [
    ['https://app.example', 'http://usher.example/ws', true],
    ['capacitor://localhost', 'http://usher.example/ws', true],
    ['http://usher.example', 'http://usher.example/ws', true],
    ['http://localhost:8787', 'http://localhost:8787/ws', true],
    ['https://usher.example', 'http://usher.example/ws', true],
    ['http://usher.example', 'https://usher.example/ws', false],
    ['http://app.example', 'http://usher.example/ws', false],
    ['https://app.example:8443', 'http://usher.example/ws', false],
    ['https://sub.app.example', 'http://usher.example/ws', false],
    ['https://app.example.evil', 'http://usher.example/ws', false],
    ['http://usher.example:81', 'http://usher.example/ws', false],
    ['http://usher.example/', 'http://usher.example/ws', false],
    ['http://x@usher.example', 'http://usher.example/ws', false],
    ['null', 'http://usher.example/ws', false],
    ['', 'http://usher.example/ws', false],
    ['*', 'http://usher.example/ws', false],
  ] as const) {
    test(`says ${expected} to ${JSON.stringify(origin)} on ${url}`, () => {
      expect(isAllowed(origin, new URL(url))).toBe(expected);
    });
  }
});
