package identity

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.ParseFS(files, "pages/*.html"))

// pages are what people see: the form to sign in, and the one to enter a device's code.
type pages struct {
	storage *storage
	guesses guesses
	finish  func(id string) string // where the browser goes when a sign-in is done
}

// page is what the templates show.
type page struct {
	ID, Application, Username, UserCode string
	Problem                             string // a sentence; what was wrong
	Done                                string // a sentence; there is nothing left to do
}

const maxForm = 16 << 10

// policy lets a page load only our style, be framed by nobody, and send its form only to us; a form's answer may lead on
// to an application on loopback, which browsers count as sending.
const policy = "default-src 'none'; style-src 'self'; form-action 'self' http://127.0.0.1:*; frame-ancestors 'none'; base-uri 'none'"

func (p *pages) register(mux *http.ServeMux) {
	// A form that another site sends in a person's name is refused by what browsers say about where it comes from.
	sameSite := http.NewCrossOriginProtection()
	handle := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, sameSite.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header.Set("Content-Security-Policy", policy)
			header.Set("Referrer-Policy", "no-referrer") // the address has the id of the sign-in
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("Cache-Control", "no-store")
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			h(w, r)
		})))
	}
	handle("GET /login", p.showLogin)
	handle("POST /login", p.login)
	handle("GET "+devicePath, p.showDevice)
	handle("POST "+devicePath, p.device)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/style.css") })
}

func (p *pages) showLogin(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	asked, err := p.storage.request(id)
	if err != nil || asked.Done() {
		p.show(w, http.StatusNotFound, "login.html", page{Done: "This sign-in was used or left too long. Begin again where you came from."})
		return
	}
	p.show(w, http.StatusOK, "login.html", page{ID: id, Application: asked.GetClientID(), Username: asked.asked.LoginHint})
}

// login takes a name and a password, and leads the browser back to the application.
func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	id, name := r.PostFormValue("id"), r.PostFormValue("username")
	asked, err := p.storage.request(id)
	if err != nil || asked.Done() {
		p.show(w, http.StatusNotFound, "login.html", page{Done: "This sign-in was used or left too long. Begin again where you came from."})
		return
	}
	form := page{ID: id, Application: asked.GetClientID(), Username: name}
	person, ok := p.authenticate(w, r, "login.html", form)
	if !ok {
		return
	}
	if id, err = p.storage.signedIn(id, person); err != nil {
		p.show(w, http.StatusNotFound, "login.html", page{Done: "This sign-in was used meanwhile. Begin again where you came from."})
		return
	}
	http.Redirect(w, r, p.finish(id), http.StatusSeeOther)
}

// authenticate returns who filled in a form, or shows it again.
func (p *pages) authenticate(w http.ResponseWriter, r *http.Request, name string, form page) (Person, bool) {
	if !p.guesses.password(form.Username) {
		w.Header().Set("Retry-After", "6")
		form.Problem = "Too many tries for this name. Wait a few seconds, then try again."
		p.show(w, http.StatusTooManyRequests, name, form)
		return Person{}, false
	}
	person, ok := p.storage.people.check(form.Username, r.PostFormValue("password"))
	if !ok {
		form.Problem = "The name or the password is wrong."
		p.show(w, http.StatusUnauthorized, name, form)
	}
	return person, ok
}

func (p *pages) showDevice(w http.ResponseWriter, r *http.Request) {
	p.show(w, http.StatusOK, "device.html", page{Application: ClientID, UserCode: r.URL.Query().Get("user_code")})
}

// device takes the code that a device shows, and the name and password of who lets it in or keeps it out.
func (p *pages) device(w http.ResponseWriter, r *http.Request) {
	form := page{Application: ClientID, UserCode: r.PostFormValue("user_code"), Username: r.PostFormValue("username")}
	if !p.guesses.codes.Allow() {
		w.Header().Set("Retry-After", "6")
		form.Problem = "Too many tries. Wait a few seconds, then try again."
		p.show(w, http.StatusTooManyRequests, "device.html", form)
		return
	}
	person, ok := p.authenticate(w, r, "device.html", form)
	if !ok {
		return
	}
	allow := r.PostFormValue("answer") == "allow"
	if !p.storage.decide(form.UserCode, person, allow) {
		form.Problem = "No device waits with this code. Look at it again; a code is good for five minutes, and once."
		p.show(w, http.StatusNotFound, "device.html", form)
		return
	}
	done := "The device is signed in as " + person.Username + ". You can close this page."
	if !allow {
		done = "The device stays out. You can close this page."
	}
	p.show(w, http.StatusOK, "device.html", page{Done: done})
}

func (p *pages) show(w http.ResponseWriter, status int, name string, what page) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, what); err != nil {
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser may be gone
}
