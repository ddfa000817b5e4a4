'use strict'
// What run.sh asks (README.md beside it), the records, and the tally that checks them.
const { createHash } = require('crypto')

const env = process.env
const number = name => parseInt(env[name], 10)
const words = name => env[name].split(' ').filter(Boolean)

const c = {
  bootstrap: env.BOOTSTRAP, topic: env.TOPIC, group: env.GROUP, phase: env.PHASE, state: `${env.STATE}.json`,
  records: number('RECORDS'), partitions: number('PARTITIONS'), replication: number('REPLICATION'), baseTime: number('BASE_TIME'),
  codecs: words('CODECS'), features: new Set(words('FEATURES')),
  peers: words('PEERS').map(p => p.split(':')).map(([topic, total]) => ({ topic, total: Number(total) })),
}
c.steps = c.codecs.map(codec => ({ name: `produce-${codec}`, codec, idempotent: false }))
if (c.features.has('idempotent')) {
  c.steps.push(...c.codecs.map(codec => ({ name: `idempotent-${codec}`, codec, idempotent: true })))
}
c.steps.forEach((step, n) => { step.first = n * c.records })
c.total = c.steps.length * c.records
c.after = { name: 'after', codec: c.codecs.at(-1), idempotent: c.features.has('idempotent'), first: c.total }

function value(topic, codec, i) {
  const head = `${topic} ${codec} ${i} ${String.fromCharCode(97 + i % 26).repeat(i % 200)}`
  return `${head} ${createHash('sha256').update(head).digest('hex')}`
}

const key = i => (i % 10 === 0 ? null : `key-${i % 50}`)

const record = (codec, i) => ({
  key: key(i), value: value(c.topic, codec, i), headers: { codec, seq: String(i) }, timestamp: String(c.baseTime + i),
})

// Tally checks that the records first to end arrive once each, with their own bytes, in order and without an offset
// left out; starts gives the first offset of partitions where it is known.
class Tally {
  constructor(topic, first, end, starts = {}) {
    Object.assign(this, { topic, first, end, next: { ...starts }, last: {}, seen: new Set() })
  }

  add(partition, message) {
    const [offset, got] = [Number(message.offset), message.value.toString()]
    const where = `partition ${partition} offset ${offset}`
    const [, codec, seq] = got.split(' ')
    const i = Number(seq)
    const gotKey = message.key === null ? null : message.key.toString()
    if (got !== value(this.topic, codec, i)) throw new Error(`${where}: bytes of record ${i} differ`)
    if (gotKey !== key(i)) throw new Error(`${where}: record ${i} has key ${gotKey}`)
    if (i < this.first || i >= this.end) throw new Error(`${where}: record ${i} is not one of ${this.first} to ${this.end - 1}`)
    if (this.seen.has(i)) throw new Error(`${where}: record ${i} came twice`)
    if (i <= (this.last[partition] ?? -1)) throw new Error(`${where}: record ${i} came after ${this.last[partition]}`)
    if (offset !== (this.next[partition] ?? offset)) throw new Error(`${where}: expected offset ${this.next[partition]}`)
    this.seen.add(i)
    this.last[partition] = i
    this.next[partition] = offset + 1
  }
}

module.exports = { c, record, Tally }
