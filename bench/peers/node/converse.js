// Speaks the benchmark's protocol (bench/peers/README.md) for a contestant: an object of
// acquire(name) -> promise of a lock, release(lock), and, where it can, hold(name, ttlMs).
// Callers are promises of one process.
'use strict'
const Redis = require('ioredis')
const readline = require('readline')

const now = () => Number(process.hrtime.bigint())

function connect(ports) {
  return ports.map((port) => {
    const redis = new Redis(port, '127.0.0.1')
    redis.on('error', () => {}) // a node that is killed is part of a scene
    return redis
  })
}

async function runPairs(locks, seconds) {
  const acquire = []
  const start = now()
  let before = start
  while (before < start + seconds * 1e9) {
    const lock = await locks.acquire('peer')
    acquire.push(now() - before)
    await locks.release(lock)
    before = now()
  }
  acquire.sort((a, b) => a - b)
  const percentile = (share) => (acquire[Math.floor(acquire.length * share)] / 1000).toFixed(1)
  return `${acquire.length} ${(before - start) / 1e9} ${percentile(0.5)} ${percentile(0.99)}`
}

function callers(count, caller) {
  return Promise.all(Array.from({ length: count }, (_, index) => caller(index + 1)))
}

async function runMany(locks, count, seconds) {
  let pairs = 0
  const start = now()
  await callers(count, async (index) => {
    while (now() < start + seconds * 1e9) {
      await locks.release(await locks.acquire(`peer:${index}`))
      pairs++
    }
  })
  return `${pairs} ${(now() - start) / 1e9}`
}

async function runContest(make, locks, count, until, apart) {
  const grants = []
  await callers(count, async (index) => {
    const mine = apart ? make() : locks
    let asked = now()
    while (asked < until) {
      const lock = await mine.acquire('peer').catch(() => null)
      if (lock) {
        const acquired = now()
        grants.push(`${index} ${asked} ${acquired} ${now()}`)
        await mine.release(lock)
        asked = now()
      } else if (now() >= until) {
        break
      }
    }
    if (apart) {
      mine.close()
    }
  })
  return grants.join(' ')
}

async function runHold(locks, count, ttl) {
  const start = now()
  for (let index = 1; index <= count; index++) {
    await locks.hold(`held:${index}`, ttl * 1000)
  }
  const seconds = (now() - start) / 1e9
  global.gc()
  return `${count} ${seconds}`
}

async function answer(make, locks, verb, numbers, last) {
  switch (verb) {
    case 'pairs':
      return runPairs(locks, numbers[0])
    case 'many':
      return runMany(locks, numbers[0], numbers[1])
    case 'contend':
      return runContest(make, locks, numbers[0], numbers[1], last === 'apart')
    case 'hold':
      return runHold(locks, numbers[0], numbers[1])
    case 'first':
      await locks.acquire('peer')
      return 'held'
  }
}

async function converse(contestant) {
  const ports = process.argv.slice(2).map(Number)
  const make = () => {
    const nodes = connect(ports)
    return { close: () => nodes.forEach((node) => node.disconnect()), ...contestant(nodes) }
  }
  const locks = make()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...words] = line.split(' ')
    console.log(await answer(make, locks, verb, words.map(Number), words[words.length - 1]))
  }
  process.exit()
}

module.exports = converse
