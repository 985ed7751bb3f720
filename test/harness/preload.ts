// Read by bunfig.toml before every test file.
import { setDefaultTimeout } from 'bun:test';

// Real servers and a real Redis start in tests: this ends one that hangs, and says nothing about speed.
setDefaultTimeout(30_000);
