package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// bootService answers machines that boot: they have no token of the API, and are known by their hardware. What they are
// told is what a person with rights accepted a moment ago; everybody else boots from disk.
type bootService struct {
	api     *API
	url     string // of the gateway as machines reach it; empty: as they reached it
	answers *prometheus.CounterVec
}

// bootPatience bounds the work on one request of a machine.
const bootPatience = 5 * time.Second

// fromDisk is the script of a machine that has nothing to boot.
const fromDisk = "#!ipxe\nexit\n"

func (a *API) registerBoot(r *prometheus.Registry, url string) {
	b := &bootService{api: a, url: strings.TrimSuffix(url, "/"), answers: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "yunshu_boot_requests_total", Help: "Requests of machines that boot, by what became of them."}, []string{"request", "outcome"})}
	routes := a.engine.Group("/boot", a.admitMachine, func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		ctx, cancel := context.WithTimeout(c.Request.Context(), bootPatience)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	})
	routes.GET("/ipxe/:mac", b.script)
	routes.POST("/claim", b.claim)
	routes.POST("/report", b.report)
}

// admitMachine refuses requests of an address that sends too many of them. Guessing interfaces or tokens is slow.
func (a *API) admitMachine(c *gin.Context) {
	from := uuid.NewSHA1(uuid.NameSpaceURL, []byte("boot/"+c.ClientIP()))
	if d := a.limits.wait(from, a.limits.limits.PerMachine, time.Now()); d > 0 {
		tooMany(c, d, "Too many machines boot from your address.")
		return
	}
	c.Next()
}

// script is what iPXE asks for.
func (b *bootService) script(c *gin.Context) {
	const plain = "text/plain; charset=utf-8"
	mac, ok := canonicalMAC(c.Param("mac"))
	gateway, reachable := b.address(c.Request)
	if !ok || !reachable {
		b.answers.WithLabelValues("script", "malformed").Inc()
		c.Data(http.StatusOK, plain, []byte(fromDisk))
		return
	}
	boot, err := b.api.store.ClaimBoot(c.Request.Context(), store.BootClaim{MACs: []string{mac}, Network: true})
	switch {
	case err != nil:
		refuse(c, err)
	case boot == nil:
		b.answers.WithLabelValues("script", "unknown").Inc()
		c.Data(http.StatusOK, plain, []byte(fromDisk))
	default:
		b.answers.WithLabelValues("script", "image").Inc()
		c.Data(http.StatusOK, plain, []byte(ipxe(*boot, gateway)))
	}
}

// ipxe writes a script. Nothing in it can be more than a word of its line: see models.Netboot.
func ipxe(b store.Boot, gateway string) string {
	kernel := []string{"kernel", b.Netboot.Kernel}
	if b.Netboot.Args != "" {
		kernel = append(kernel, b.Netboot.Args)
	}
	kernel = append(kernel, "yunshu.url="+gateway, "yunshu.token="+b.Token, "yunshu.purpose="+string(b.Purpose))
	if b.Hardware != "" { // an interface is easily put into another machine, whose disks are somebody else's
		kernel = append(kernel, "yunshu.uuid="+b.Hardware)
	}
	if b.Hostname != "" {
		kernel = append(kernel, "yunshu.hostname="+b.Hostname)
	}
	lines := []string{"#!ipxe", strings.Join(kernel, " ")}
	if b.Netboot.Initrd != "" {
		lines = append(lines, "initrd "+b.Netboot.Initrd)
	}
	return strings.Join(append(lines, "boot", ""), "\n")
}

// saneHost is a host that may stand in a script: a name or an address, with or without a port.
var saneHost = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9.]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// address is where a machine reaches the gateway: as it is configured, or as the machine did just now.
func (b *bootService) address(r *http.Request) (string, bool) {
	if b.url != "" {
		return b.url, true
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host, saneHost.MatchString(r.Host)
}

// canonicalMAC reads the spellings of an Ethernet address: with colons, hyphens, dots or nothing, in any case.
func canonicalMAC(text string) (string, bool) {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == 6 {
		return net.HardwareAddr(raw).String(), true
	}
	mac, err := net.ParseMAC(text)
	return mac.String(), err == nil && len(mac) == 6
}

// bootClaim is what an image says that was booted from a virtual drive, and so could not be given a token.
type bootClaim struct {
	UUID string   `json:"uuid"`
	MACs []string `json:"macs"`
}

// bootClaimed is what it is told.
type bootClaimed struct {
	Token    string             `json:"token"`
	Purpose  models.BootPurpose `json:"purpose"`
	Hostname string             `json:"hostname,omitempty"`
}

// mostMACs is how many interfaces a machine may say that it has.
const mostMACs = 64

func (b *bootService) claim(c *gin.Context) {
	var in bootClaim
	if err := readStrictly(c.Request, &in); err != nil {
		refuse(c, err)
		return
	}
	claim := store.BootClaim{Hardware: strings.ToLower(in.UUID)}
	for _, text := range in.MACs {
		if mac, ok := canonicalMAC(text); ok { // others, such as InfiniBand's, are not what a machine is known by
			claim.MACs = append(claim.MACs, mac)
		}
	}
	if len(in.UUID) > 64 || len(in.MACs) > mostMACs || len(claim.MACs) == 0 {
		b.answers.WithLabelValues("claim", "malformed").Inc()
		refuse(c, invalid("body", "must have the machine's uuid, and 1 to 64 macs"))
		return
	}
	boot, err := b.api.store.ClaimBoot(c.Request.Context(), claim)
	switch {
	case err != nil:
		refuse(c, err)
	case boot == nil:
		b.answers.WithLabelValues("claim", "unknown").Inc()
		refuse(c, models.Faultf(models.CodeNotFound, "No machine with this uuid and one of these macs is to boot an image now. Boot from disk, or ask an operator to begin again."))
	default:
		b.answers.WithLabelValues("claim", "image").Inc()
		c.JSON(http.StatusOK, bootClaimed{Token: boot.Token, Purpose: boot.Purpose, Hostname: boot.Hostname})
	}
}

// bootReport is what an image reports.
type bootReport struct {
	Purpose   models.BootPurpose `json:"purpose"`
	Inventory *models.Inventory  `json:"inventory"`
	Wiped     []models.Wiped     `json:"wiped"`
	Error     string             `json:"error"`
}

func (b *bootService) report(c *gin.Context) {
	token, ok := bearerToken(c.GetHeader("Authorization"))
	if !ok {
		b.stranger(c)
		return
	}
	var in bootReport
	if err := readStrictly(c.Request, &in); err != nil {
		refuse(c, err)
		return
	}
	if err := in.check(); err != nil {
		b.answers.WithLabelValues("report", "malformed").Inc()
		refuse(c, err)
		return
	}
	r := scope(c.Request.Context())
	machine, err := b.api.store.ReportBoot(c.Request.Context(), store.Change{RequestID: r.id, Origin: r.origin}, token, store.BootedReport(in))
	switch {
	case errors.Is(err, store.ErrNoBoot):
		b.stranger(c)
	case err != nil:
		if machine != "" && models.AsFault(err) != nil {
			b.answers.WithLabelValues("report", "refused").Inc()
			b.api.log.WarnContext(c.Request.Context(), "report of a booted image refused", "request_id", r.id, "baremetal", machine, "error", err)
		}
		refuse(c, err)
	default:
		b.answers.WithLabelValues("report", "taken").Inc()
		c.Status(http.StatusNoContent)
	}
}

// stranger answers a token that is good for nothing, whyever.
func (b *bootService) stranger(c *gin.Context) {
	b.answers.WithLabelValues("report", "unknown").Inc()
	refuse(c, models.Faultf(models.CodeUnauthenticated, "The token is unknown, used or expired. It is good for one report, of the boot that it was given for."))
}

// readStrictly reads a body that has nothing but what it is for, and each of it once.
func readStrictly(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case err != nil || !utf8.Valid(body) || bytes.Contains(body, []byte(`\u0000`)):
		return models.Faultf(models.CodeMalformed, "The body could not be read, or is not UTF-8 without NUL characters.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil || d.More() || repeats(body) {
		return models.Faultf(models.CodeMalformed, "The body is not one JSON object of what this path takes, each field once. See docs/http.md.")
	}
	return nil
}
