/** What shows notices, as far as the hints use it. */
export class Controls {
  notice = null;

  showNotice(notice) {
    this.notice = notice;
  }

  hideNotice(notice) {
    if (notice === this.notice) {
      this.notice = null;
    }
  }
}
