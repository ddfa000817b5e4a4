package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"chronik/cluster"
	"chronik/wal/vfs"
)

const mebibyte = 1 << 20

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$`)
	digits   = regexp.MustCompile(`^[0-9.]+$`)
	sizeText = regexp.MustCompile(`^([0-9]+)\s*([A-Za-z]*)$`)
)

var units = map[string]int64{
	"": 1, "B": 1,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
}

func notEmpty(v string) error {
	if v == "" {
		return errors.New("is empty: write a value or leave it out")
	}
	return nil
}

// parseHost takes an IP address, in brackets or not, or a host name. portSetting
// is where a port belongs.
func parseHost(v, portSetting string) (string, error) {
	if _, rest, ok := strings.Cut(v, "://"); ok {
		host := strings.TrimSuffix(rest, "/")
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		return "", fmt.Errorf("%q is a URL: write the address alone, as in %s", v, host)
	}
	bare := v
	if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") {
		bare = v[1 : len(v)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.String(), nil
	}
	if host, port, err := net.SplitHostPort(v); err == nil {
		return "", fmt.Errorf("%q has a port: write %s here and %s in %s", v, host, port, portSetting)
	}
	if !hostName.MatchString(v) || digits.MatchString(v) || len(v) > 253 {
		return "", fmt.Errorf("%q is no IP address and no host name: write one, as in 192.0.2.1, 2001:db8::1 or broker.example.org", v)
	}
	return v, nil
}

// parseReachable refuses what nobody can connect to.
func parseReachable(v, portSetting string) (string, error) {
	if v == "" {
		return "", nil
	}
	host, err := parseHost(v, portSetting)
	if err != nil {
		return "", err
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return "", fmt.Errorf("nobody can connect to %s: write the address that others reach this host by, or leave it out", host)
	}
	return host, nil
}

func parsePort(into *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is no port: write a number from 0 to 65535", v)
	}
	*into = n
	return nil
}

func parseInt[T int | int32](into *T, v string, least, most int64) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least || n > most {
		return fmt.Errorf("%q is out of range: write a whole number from %d to %d", v, least, most)
	}
	*into = T(n)
	return nil
}

func parseChoice[T ~string](into *T, v string, choices ...T) error {
	texts := make([]string, len(choices))
	for i, c := range choices {
		if texts[i] = string(c); v == texts[i] {
			*into = c
			return nil
		}
	}
	last := len(texts) - 1
	return fmt.Errorf("%q is unknown: write %s or %s", v, strings.Join(texts[:last], ", "), texts[last])
}

func parseBool(into *bool, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is unknown: write true or false", v)
	}
	*into = b
	return nil
}

func parseLevel(into *slog.Level, v string) error {
	var name string
	if err := parseChoice(&name, v, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return into.UnmarshalText([]byte(name))
}

func parseDuration(into *time.Duration, v string, least, most time.Duration) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		return fmt.Errorf("%q is no duration that fits: write one from %s to %s with its unit, as in 50ms", v, least, most)
	}
	*into = d
	return nil
}

// parseSize takes bytes, or a whole number with a unit: KiB, MiB and on are
// powers of 1024, KB, MB and on of 1000.
func parseSize(into *int64, v string, least, most int64) error {
	parts := sizeText.FindStringSubmatch(v)
	if parts == nil || units[strings.ToUpper(parts[2])] == 0 {
		return fmt.Errorf("%q is no size: write bytes or a whole number with a unit, as in 64MiB", v)
	}
	unit := units[strings.ToUpper(parts[2])]
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n > most/unit || n*unit < least {
		return fmt.Errorf("%q is out of range: write from %s to %s", v, sizeOf(least), sizeOf(most))
	}
	*into = n * unit
	return nil
}

// parseDiskShare is parseSize of the write-ahead log; nothing is what the disk has.
func parseDiskShare(into *int64, v string) error {
	if v == "" {
		return nil
	}
	return parseSize(into, v, 2*mebibyte, 1<<50)
}

// diskOf is the bytes of the file system that a folder lies on, all and free; a variable for tests.
var diskOf = vfs.SpaceOf

// checkDisk refuses a write-ahead log that the disk can never hold: it would be full under load, and end the process.
func (c *Config) checkDisk() error {
	if c.WALSize == 0 {
		return nil
	}
	dir := filepath.Join(c.DataDir, "wal") // may be a disk of its own, and at a first start neither is there yet
	total, _, err := diskOf(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		total, _, err = diskOf(dir)
	}
	if err != nil || total <= 0 || c.WALSize <= total/2 {
		return nil // one that cannot be asked is no wrong setting
	}
	return fmt.Errorf("wal-size is %s, and the log may take twice that under load, but the disk of %s has %s: write at most %s, "+
		"or leave it out for a size that follows the disk", sizeOf(c.WALSize), dir, roundSize(total), roundSize(total/2))
}

// machineMemory is in bytes; 0 is unknown.
var machineMemory = systemMemory

// parseMemory refuses what the machine does not have: it is mapped at the start, and filled under load.
func parseMemory(into *int64, v string) error {
	var n int64
	if err := parseSize(&n, v, 16*mebibyte, 1<<50); err != nil {
		return err
	}
	if most := machineMemory(); most > 0 && n > most {
		return fmt.Errorf("%q is more than this machine's memory of %s: write less, as in %s", v, roundSize(most), roundSize(most/2))
	}
	*into = n
	return nil
}

// roundSize is n in whole MiB, or in whole GiB if there are many.
func roundSize(n int64) string {
	if n >= 10<<30 {
		return sizeOf(n &^ (1<<30 - 1))
	}
	return sizeOf(n &^ (mebibyte - 1))
}

// sizeOf is n in words that parseSize takes for exactly n.
func sizeOf(n int64) string {
	written := func(n, thousand int64, names ...string) string {
		name := "B"
		for _, larger := range names {
			if n == 0 || n%thousand != 0 {
				break
			}
			n, name = n/thousand, larger
		}
		return strconv.FormatInt(n, 10) + name
	}
	binary, decimal := written(n, 1024, "KiB", "MiB", "GiB", "TiB", "PiB"), written(n, 1000, "KB", "MB", "GB", "TB", "PB")
	if len(decimal)+1 < len(binary) { // as 100TB, which is 97656250000KiB
		return decimal
	}
	return binary
}

func checkClusterID(v string) error {
	_, err := cluster.ParseClusterID(v)
	return err
}
