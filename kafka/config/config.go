// Package config is the catalogue of Kafka's broker and topic configs that mean something here: name, type, default,
// valid values, synonyms and documentation, in one table each. Values are checked and compiled when they are set, never
// on a hot path. It does not know where values are stored.
package config
